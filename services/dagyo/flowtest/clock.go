package flowtest

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// errLate is the cause of a test case's context at its deadline.
var errLate = errors.New("the deadline of the test case expired")

// A clock ends the context of a test case at its deadline. A deadline that the test case sets counts from the
// submission. The default one counts from the start of the last job: until then executors start, which may load models.
type clock struct {
	timer *time.Timer
	// own is the deadline that the test case sets, 0 for none.
	own time.Duration
	// start and run are the time until the last job has started, and the time after that.
	start, run time.Duration
	started    bool
}

// clock starts the clock of a test case.
func (r *Runner) clock(ctx context.Context, c Case) (context.Context, *clock, func()) {
	k := &clock{own: c.Deadline.D(), start: r.StartDeadline, run: r.Deadline}
	ctx, cancel := context.WithCancelCause(ctx)
	limit := k.own
	if limit == 0 {
		limit = k.start
	}
	k.timer = time.AfterFunc(limit, func() { cancel(errLate) })
	return ctx, k, func() { k.timer.Stop(); cancel(nil) }
}

// begun is called when all jobs have started.
func (k *clock) begun() {
	if k.started {
		return
	}
	k.started = true
	if k.own == 0 && k.timer.Stop() {
		k.timer.Reset(k.run)
	}
}

// late returns the failure of a flow whose deadline has expired; standing is how far it was.
func (k *clock) late(standing string) Failure {
	switch {
	case k.own > 0:
		return Failure{
			About: "case", Message: fmt.Sprintf("the flow did not end within %v: %s", k.own, standing),
			Hint: `raise "deadline" in test.yaml`,
		}
	case k.started:
		return Failure{
			About: "case", Message: fmt.Sprintf("the flow did not end within %v after its jobs had started: %s", k.run, standing),
			Hint: `set "deadline" in test.yaml, or raise --deadline`,
		}
	}
	return Failure{
		About: "case", Message: fmt.Sprintf("the jobs of the flow did not start within %v: %s", k.start, standing),
		Hint: "raise --start-deadline if a program needs longer to start",
	}
}
