package executor

import (
	"context"
	"time"

	"github.com/dagyo/dagyo/pkg/wire"
)

// beatCheck is the interval at which the beating goroutine checks for due jobs.
const beatCheck = 100 * time.Millisecond

// beat publishes signs of life for all running jobs, from one goroutine.
func (x *executor) beat(ctx context.Context) {
	t := time.NewTicker(beatCheck)
	defer t.Stop()
	last := make(map[*running]time.Time)
	for {
		select {
		case now := <-t.C:
			x.beatAll(now, last)
		case <-ctx.Done():
			return
		}
	}
}

// beatAll beats for the jobs that are due. A slow connection must not keep jobs from starting and ending.
func (x *executor) beatAll(now time.Time, last map[*running]time.Time) {
	for _, r := range x.due(now, last) {
		// If the beat is not sent, the aggregator correctly counts the job as silent.
		_ = x.link.Publish(x.on(r.doc.Health), wire.AppendBeat(nil, r.doc.HealthTimeout.D()))
	}
}

// due returns the jobs whose interval would be over before the next check, and notes that they have beaten. The first
// sign of life of a job is its job.started.
func (x *executor) due(now time.Time, last map[*running]time.Time) (out []*running) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for r := range last {
		if _, ok := x.running[r]; !ok {
			delete(last, r)
		}
	}
	for r := range x.running {
		since, beaten := last[r]
		if !beaten {
			since = r.began
		}
		if now.Sub(since) >= r.doc.HealthInterval.D()-2*beatCheck {
			out = append(out, r)
			last[r] = now
		}
	}
	return out
}
