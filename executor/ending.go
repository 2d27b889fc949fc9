package executor

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/stream"
)

// An ending is how a stream may end a job: it is wired to the stop of the job's node.
type ending struct {
	// ctx is the program's. It ends with the job's, or by the stream with cause ErrEnded.
	ctx context.Context
	// late is closed when the program has not returned StopGrace after the stream has ended it.
	late   chan struct{}
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when nothing watches any more
	stop   context.CancelFunc
}

// watchEnd begins to read the stream that may end the job, if there is one. Release the ending as soon as
// the program has returned.
func (x *executor) watchEnd(ctx context.Context, job *Job) *ending {
	e := &ending{late: make(chan struct{}), done: make(chan struct{})}
	e.ctx, e.cancel = context.WithCancelCause(ctx)
	watch, stop := context.WithCancel(ctx)
	e.stop = stop
	in, err := job.input(progdef.StopPort)
	if err != nil { // nothing is wired to it
		close(e.done)
		return e
	}
	go func() {
		defer close(e.done)
		if e.first(watch, job, in) {
			unlink := context.AfterFunc(ctx, job.abortOutputs) // what is being finished waits for readers
			defer unlink()
			e.await(watch, x.config.StopGrace)
		}
	}()
	return e
}

// release returns when the stream is not read any more. It may be called again.
func (e *ending) release() {
	e.stop()
	<-e.done
}

// ended reports whether a stream has ended the job, whose context goes on.
func (e *ending) ended(ctx context.Context) bool {
	return ctx.Err() == nil && errors.Is(context.Cause(e.ctx), ErrEnded)
}

// first ends the job at the first record. The end of the stream alone ends nothing.
func (e *ending) first(ctx context.Context, job *Job, in *input) bool {
	switch _, err := in.Recv(ctx); {
	case err == nil:
		e.cancel(ErrEnded)
		return true
	case errors.Is(err, io.EOF), ctx.Err() != nil, errors.Is(err, stream.ErrGone):
		return false // ErrGone says that the flow is over, which others see
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
