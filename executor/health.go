package executor

import (
	"container/heap"
	"context"
	"time"

	"github.com/dagyo/dagyo/pkg/wire"
)

// beatCheck is the interval at which the beating goroutine checks for due jobs.
const beatCheck = 100 * time.Millisecond

// beat publishes heartbeats for all running jobs, from one goroutine.
func (x *executor) beat(ctx context.Context) {
	t := time.NewTicker(beatCheck)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			x.beatAll(now)
		case <-ctx.Done():
			return
		}
	}
}

// beatAll beats for the jobs that are due. A slow connection must not keep jobs from starting and ending.
func (x *executor) beatAll(now time.Time) {
	for _, r := range x.due(now) {
		// If the beat is not sent, the aggregator correctly counts the job as silent.
		_ = x.link.Publish(x.on(r.doc.Health), wire.AppendBeat(nil, r.doc.HealthTimeout.D()))
	}
}

// due returns the jobs whose interval would be over before the next check, and notes that they have beaten.
func (x *executor) due(now time.Time) (out []*running) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for len(x.beats) > 0 && !x.beats[0].next.After(now) {
		r := x.beats[0]
		out = append(out, r)
		r.beaten(now)
		heap.Fix(&x.beats, 0)
	}
	return out
}

// beaten sets when the job must beat next.
func (r *running) beaten(at time.Time) {
	r.next = at.Add(max(r.doc.HealthInterval.D()-2*beatCheck, beatCheck/2)) // at the next check, if the interval is short
}

// beats are the running jobs by when they must beat next; it implements heap.Interface.
type beats []*running

func (b beats) Len() int           { return len(b) }
func (b beats) Less(i, j int) bool { return b[i].next.Before(b[j].next) }

func (b beats) Swap(i, j int) {
	b[i], b[j] = b[j], b[i]
	b[i].place, b[j].place = i, j
}

func (b *beats) Push(r any) {
	r.(*running).place = len(*b)
	*b = append(*b, r.(*running))
}

func (b *beats) Pop() any {
	last := len(*b) - 1
	r := (*b)[last]
	(*b)[last] = nil
	*b = (*b)[:last]
	return r
}
