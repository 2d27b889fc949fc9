package executor

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/stream"
)

// running is a running job.
type running struct {
	doc contract.Job
	// check requests another check for a stop of the flow.
	check chan struct{}
	// next is when it must beat next, place its index in executor.beats.
	next  time.Time
	place int
}

// run runs one claimed job until its end is published. began is before its job.started was stored.
func (x *executor) run(parent context.Context, doc contract.Job, began time.Time, stuck chan<- struct{}) {
	r := &running{doc: doc, check: make(chan struct{}, 1)}
	r.beaten(began) // job.started is the first heartbeat
	x.enter(r)
	defer x.leave(r)
	ctx, cancel := context.WithCancelCause(parent)
	watching := make(chan struct{})
	watch, stopWatching := context.WithCancel(ctx)
	go func() {
		defer close(watching)
		x.watchStop(watch, r, cancel)
	}()
	defer func() { stopWatching(); <-watching; cancel(nil) }()

	job, err := openJob(x.link.JS, x.replies, x.config.ID, doc)
	if err != nil {
		x.sayPanic(parent, doc, contract.Failure{Kind: contract.KindError, Message: err.Error()}, contract.PortCounts{})
		return
	}
	x.openLog(job)
	e := x.watchEnd(ctx, job)
	returned := make(chan error, 1)
	go func() { returned <- x.call(ctx, e, job) }()
	err, inTime := x.await(ctx, e, returned)
	if !inTime {
		job.closeLog(ctx)
		x.abandon(ctx, parent, doc, stuck)
		return
	}
	job.abort()
	job.sayDropped()
	job.closeLog(ctx)
	x.report(ctx, parent, job, err)
}

// await waits for the program's result. inTime is false if the job was stopped StopGrace ago.
func (x *executor) await(ctx context.Context, e *ending, returned <-chan error) (err error, inTime bool) {
	select {
	case err := <-returned:
		return err, true
	case <-x.overdue(ctx):
	case <-e.late:
	}
	select { // both may be ready
	case err := <-returned:
		return err, true
	default:
		return nil, false
	}
}

// overdue returns a channel that is ready StopGrace after the context has ended.
func (x *executor) overdue(ctx context.Context) <-chan struct{} {
	late := make(chan struct{})
	context.AfterFunc(ctx, func() {
		time.AfterFunc(x.config.StopGrace, func() { close(late) })
	})
	return late
}

// abandon reports a job whose function does not return after its context has ended.
func (x *executor) abandon(ctx, parent context.Context, doc contract.Job, stuck chan<- struct{}) {
	x.config.Log.Error("a stopped job did not return; this executor takes no more jobs", "flow", doc.Flow, "job", doc.Job)
	switch {
	case ctx.Err() == nil:
		x.sayPanic(parent, doc, deaf(x.config.StopGrace), contract.PortCounts{})
	case errors.Is(context.Cause(ctx), ErrDrained):
		x.sayPanic(parent, doc, drained(), contract.PortCounts{})
	}
	select {
	case stuck <- struct{}{}:
	default:
	}
}

// call calls the program, and ends the streams if it returns nil.
func (x *executor) call(ctx context.Context, e *ending, job *Job) (err error) {
	defer e.release()
	defer func() {
		if p := recover(); p != nil {
			err = &DetailedError{Err: fmt.Errorf("panic: %v", p), Detail: string(debug.Stack())}
		}
	}()
	if err := x.program.check(job.doc); err != nil {
		return err
	}
	err = x.program.Run(e.ctx, job)
	e.release()
	if err != nil && !errors.Is(err, ErrReaderClosed) && !e.ended(ctx) {
		return err
	}
	if f := job.failed(); f != nil {
		return f
	}
	return job.finish(ctx)
}

// report publishes how the job ended. The broker may be unreachable for a while: the event is kept until
// it is back, or the executor must exit.
func (x *executor) report(ctx, parent context.Context, job *Job, err error) {
	cause := context.Cause(ctx)
	failure := job.failed()
	switch {
	case failure != nil:
		x.sayPanic(parent, job.doc, failure.failure(), job.counts())
	case err == nil:
		x.sayDone(parent, job, false)
	case errors.Is(cause, ErrStopped), errors.Is(err, stream.ErrGone):
		x.sayDone(parent, job, true)
	case errors.Is(cause, ErrDrained):
		x.sayPanic(parent, job.doc, drained(), job.counts())
	default:
		x.sayPanic(parent, job.doc, failureOf(err), job.counts())
	}
}

// failureOf returns the failure to publish for a program's error or Go panic.
func failureOf(err error) contract.Failure {
	f := contract.Failure{Kind: contract.KindError, Message: err.Error()}
	var port *PortError
	if errors.As(err, &port) {
		f = port.failure()
	}
	var detailed *DetailedError
	if errors.As(err, &detailed) {
		f.Detail = detailed.Detail
	}
	return f
}

// deaf is the failure of a program that continues although a stream has stopped it.
func deaf(grace time.Duration) contract.Failure {
	return contract.Failure{
		Kind:    contract.KindError,
		Message: fmt.Sprintf("the node was stopped by a stream, but its program did not return within %v", grace),
		Port:    progdef.StopPort,
	}
}

func drained() contract.Failure {
	return contract.Failure{Kind: contract.KindDrained, Message: ErrDrained.Error()}
}

func (x *executor) sayDone(ctx context.Context, job *Job, stopped bool) {
	x.lastWord(ctx, contract.Event{
		Type: contract.TypeJobDone, Subject: job.doc.Flow, Trace: job.doc.Trace(),
		Data: &contract.JobDone{
			Job: job.doc.Job, Executor: x.config.ID, Stopped: stopped, PortCounts: job.counts(),
		},
	})
}

func (x *executor) sayPanic(ctx context.Context, doc contract.Job, f contract.Failure, c contract.PortCounts) {
	x.lastWord(ctx, contract.Event{
		Type: contract.TypeJobPanic, Subject: doc.Flow, Trace: doc.Trace(),
		Data: &contract.JobPanic{Job: doc.Job, Executor: x.config.ID, Failure: x.mask.failure(f), PortCounts: c},
	})
}

// lastWord publishes how a job ended. When the executor must exit, it retries for a moment longer.
func (x *executor) lastWord(ctx context.Context, e contract.Event) {
	last, cancel := lingering(ctx, lastWords)
	defer cancel()
	if err := x.sayLast(last, e); err != nil {
		x.config.Log.Error("cannot publish how a job ended", "flow", e.Subject, "event", e.Type, "error", err)
	}
}

// lingering returns a context that ends some time after another one, or when it is cancelled.
func lingering(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(d, cancel) })
	return longer, func() { stop(); cancel() }
}

func (x *executor) enter(r *running) {
	x.mu.Lock()
	defer x.mu.Unlock()
	heap.Push(&x.beats, r)
}

func (x *executor) leave(r *running) {
	x.mu.Lock()
	defer x.mu.Unlock()
	heap.Remove(&x.beats, r.place)
}

// Pauses between checks for a stored stop.
const (
	firstStopLook = time.Second
	lastStopLook  = time.Minute
	// heardStopLook is the first one after a message: subscribers receive a stop before it is stored.
	heardStopLook = 10 * time.Millisecond
)

// watchStop cancels the job's context when its flow is stopped, or if it was stopped before the job began. The stop that
// is stored counts: any client can direct an answer of the broker to the subject of a stop, so a message there only says
// that it is time to look.
func (x *executor) watchStop(ctx context.Context, r *running, cancel context.CancelCauseFunc) {
	stops := make(chan *nats.Msg, 1)
	sub, err := x.link.ChanSubscribe(r.doc.Stop, stops)
	if err != nil {
		cancel(fmt.Errorf("subscribe to %s: %w", r.doc.Stop, err))
		return
	}
	defer func() { _ = sub.Unsubscribe() }()
	// Check after subscribing, so that no stop is missed. Then check again: a message may be too early for the
	// subscription, and stored too late for the first check.
	retry := time.NewTimer(0)
	defer retry.Stop()
	next, looked := firstStopLook, time.Time{}
	for {
		select {
		case m := <-stops:
			if stream.IsStop(m) {
				next = heardStopLook
				retry.Reset(time.Until(looked.Add(heardStopLook)))
			}
		case <-r.check:
			retry.Reset(0)
		case <-retry.C:
			stopped, err := stream.Stopped(ctx, x.link.JS, &r.doc)
			looked = time.Now()
			if stopped {
				cancel(ErrStopped)
				return
			}
			if err != nil {
				next = firstStopLook
			}
			retry.Reset(next)
			next = min(4*next, lastStopLook)
		case <-ctx.Done():
			return
		}
	}
}

// reconnected makes every job check for a stop that was sent while we were disconnected.
func (x *executor) reconnected() {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, r := range x.beats {
		select {
		case r.check <- struct{}{}:
		default:
		}
	}
}
