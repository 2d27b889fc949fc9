package executor

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/stream"
)

// An ending lets a stream end a job: the stream that is connected to the stop port of the job's node.
type ending struct {
	// ctx is the program's context. It ends with the job's, or by the stream with cause ErrEnded.
	ctx context.Context
	// late is closed if the program has not returned StopGrace after the stream ended it.
	late   chan struct{}
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when watching has stopped
	stop   context.CancelFunc
}

// watchEnd starts to read the stream that may end the job, if there is one. The caller must release the
// ending as soon as the program has returned.
func (x *executor) watchEnd(ctx context.Context, job *Job) *ending {
	e := &ending{late: make(chan struct{}), done: make(chan struct{})}
	e.ctx, e.cancel = context.WithCancelCause(ctx)
	watch, stop := context.WithCancel(ctx)
	e.stop = stop
	in, err := job.input(progdef.StopPort)
	if err != nil { // nothing is connected to it
		close(e.done)
		return e
	}
	go func() {
		defer close(e.done)
		if e.first(watch, job, in) {
			unlink := context.AfterFunc(ctx, job.abortOutputs) // a program that finishes may be waiting for readers
			defer unlink()
			e.await(watch, x.config.StopGrace)
		}
	}()
	return e
}

// release returns when the stream is no longer read. It may be called more than once.
func (e *ending) release() {
	e.stop()
	<-e.done
}

// ended reports whether a stream ended the job, while the job's context is still active.
func (e *ending) ended(ctx context.Context) bool {
	return ctx.Err() == nil && errors.Is(context.Cause(e.ctx), ErrEnded)
}

// first ends the job at the first record. A stream that ends without a record does not end the job.
func (e *ending) first(ctx context.Context, job *Job, in *input) bool {
	switch _, err := in.Recv(ctx); {
	case err == nil:
		e.cancel(ErrEnded)
		return true
	case errors.Is(err, io.EOF), ctx.Err() != nil, errors.Is(err, stream.ErrGone):
		return false // ErrGone means that the flow is over; others handle that
	default:
		e.cancel(job.portFailed(progdef.StopPort, err))
		return false
	}
}

// await waits for the program to return.
func (e *ending) await(ctx context.Context, grace time.Duration) {
	t := time.NewTimer(grace)
	defer t.Stop()
	select {
	case <-t.C:
		close(e.late)
	case <-ctx.Done():
	}
}
