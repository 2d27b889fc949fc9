package std

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/pkg/document"
)

const (
	// rateLimit is the highest rate of throttle, in records a second.
	rateLimit = 1e9
	// throttleSlack is how far throttle may be behind its rate and catch up: the bucket holds the tokens of this time.
	throttleSlack = 10 * time.Millisecond
	// throttleBatch is the maximum number of records that throttle writes at once.
	throttleBatch = 1024
)

// throttle writes its input with at most a number of records a second.
func throttle() executor.Program {
	rate := executor.Input("rate", executor.JSON[float64]())
	in, out := executor.Input("in", value), executor.Output("out", value)
	return generic(func(ctx context.Context, job *executor.Job) error {
		perSecond, err := single(ctx, job, "rate", rate)
		if err == nil && (perSecond <= 0 || perSecond > rateLimit) {
			err = fmt.Errorf("rate is %v; it must be more than 0 and at most %v records a second", perSecond, rateLimit)
		}
		if err != nil {
			return err
		}
		b := newBucket(perSecond)
		return batches(ctx, job, in, func(records [][]byte) error {
			for len(records) > 0 {
				n := min(len(records), b.most)
				if err := b.take(ctx, n); err != nil {
					return err
				}
				if err := out.SendBatch(ctx, job, records[:n]); err != nil {
					return err
				}
				records = records[n:]
			}
			return nil
		})
	}, rate, in, out)
}

// A bucket is a token bucket: it gets rate tokens a second, and holds as many as throttleSlack brings, or one.
type bucket struct {
	rate float64
	most int       // tokens that may be taken at once
	due  time.Time // when the tokens taken so far have all come in
}

func newBucket(rate float64) *bucket {
	return &bucket{rate: rate, most: max(1, int(min(rate*throttleSlack.Seconds(), throttleBatch)))}
}

// take waits for n tokens, and takes them.
func (b *bucket) take(ctx context.Context, n int) error {
	now := time.Now()
	if full := now.Add(-throttleSlack); b.due.Before(full) {
		b.due = full
	}
	if wait := b.due.Sub(now); wait > 0 {
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
	b.due = b.due.Add(seconds(float64(n) / b.rate))
	return nil
}

// seconds converts a number of seconds, up to 100 years.
func seconds(s float64) time.Duration {
	const most = 100 * 365 * 24 * time.Hour
	return time.Duration(min(s*float64(time.Second), float64(most)))
}

// sleepOptions are the options of sleep.
type sleepOptions struct {
	Start document.Duration `json:"start"`
	Each  document.Duration `json:"each"`
}

const sleepUsage = `{"start": "10s"} or {"each": "100ms"}`

// sleeper delays the stream, or each of its records.
func sleeper() executor.Program {
	given := optionsInput()
	in, out := executor.Input("in", value), executor.Output("out", value)
	return generic(func(ctx context.Context, job *executor.Job) error {
		var o sleepOptions
		if err := options(ctx, job, given, sleepUsage, &o); err != nil {
			return err
		}
		if err := sleep(ctx, o.Start.D()); err != nil {
			return err
		}
		if o.Each == 0 {
			return batches(ctx, job, in, func(records [][]byte) error { return out.SendBatch(ctx, job, records) })
		}
		for record, err := range in.All(ctx, job) {
			if err == nil {
				err = sleep(ctx, o.Each.D())
			}
			if err == nil {
				err = out.Send(ctx, job, record)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}, given, in, out)
}

func (o sleepOptions) check() error {
	switch {
	case o.Start < 0 || o.Each < 0:
		return errors.New("a duration is negative")
	case o.Start == 0 && o.Each == 0:
		return errors.New("there is neither start nor each")
	}
	return nil
}
