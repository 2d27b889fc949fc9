package shim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/dagyo/dagyo/executor"
)

// shortGrace is the time from SIGTERM to SIGKILL when the executor itself must exit, for which it has three
// seconds; and when the command has already used its stop grace.
const shortGrace = 2 * time.Second

// lastRecords is how long readers may take for the last records of a command that failed.
const lastRecords = time.Second

// errExited cancels what waits for a command that has exited.
var errExited = errors.New("the command exited")

// A run is the running command of one job.
type run struct {
	*process
	job     *executor.Job
	grace   time.Duration
	fail    context.CancelCauseFunc
	outputs *outputs
	tail    tail
}

// run runs the command for one job.
func (c Config) run(ctx context.Context, job *executor.Job) error {
	ports, err := plan(job, c.Framing)
	if err != nil {
		return err
	}
	p, err := c.start(job, ports)
	if err != nil {
		return err
	}
	defer p.close()
	r := &run{
		process: p, job: job, grace: c.StopGrace,
		outputs: newOutputs(p, c.StopGrace), tail: tail{log: io.MultiWriter(job.Stderr(), c.Stderr)},
	}
	ctx, r.fail = context.WithCancelCause(ctx)
	defer r.fail(nil)
	r.serve(ctx)
	if err := context.Cause(ctx); err != nil {
		stderr := r.tail.String()
		return &executor.DetailedError{Err: explained(err, stderr), Detail: stderr}
	}
	return nil
}

// serve passes records between the job and the command until the command has exited and all of its output
// is read.
func (r *run) serve(ctx context.Context) {
	var feeding, collecting sync.WaitGroup
	reading, stopReading := context.WithCancelCause(ctx)
	sending, stopSending := unlessEnded(ctx)
	defer stopSending()
	for i, p := range r.ports {
		if p.input {
			feeding.Go(func() { r.failWith(ctx, r.feed(ctx, reading, p, r.pipes[i])) })
		} else {
			collecting.Go(func() { r.collect(sending, p, r.outputs.sources[p.Name]) })
		}
	}
	errs := &source{f: r.stderr, idle: r.grace}
	collecting.Go(func() { _, _ = io.Copy(&r.tail, errs) })

	r.await(ctx)
	failed := r.failed()
	if failed != nil || ctx.Err() != nil {
		r.signal(syscall.SIGKILL) // the rest of the process group is not needed
	}
	stopReading(errExited)
	r.closeInputs()
	feeding.Wait()
	errs.over()
	r.outputs.over()
	if failed != nil {
		late := time.AfterFunc(lastRecords, func() { r.fail(failed) })
		defer late.Stop()
	}
	collecting.Wait()
	r.failWith(ctx, failed)
	r.signal(syscall.SIGKILL)
}

// failWith ends the command after a failure. The first error counts.
func (r *run) failWith(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		r.fail(err)
	}
}

// failed returns the command's failure, unless it can be ignored.
func (r *run) failed() error {
	err, brokenPipe := r.failure()
	if r.outputs.unwanted(brokenPipe) {
		return nil
	}
	return err
}

// await returns when the command has exited. If the context ends, it makes the command exit.
func (r *run) await(ctx context.Context) {
	select {
	case <-r.exited:
		return
	case <-ctx.Done():
	}
	grace := r.grace
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, executor.ErrDrained):
		grace = min(grace, shortGrace)
	case errors.Is(cause, executor.ErrEnded) && r.reads():
		// Its inputs have ended. That alone ends most commands, and lets them write their last output.
		if r.exitsWithin(grace) {
			return
		}
		grace = min(grace, shortGrace)
	}
	r.terminate(grace)
}

// reads reports whether the command has inputs.
func (r *run) reads() bool {
	return slices.ContainsFunc(r.ports, func(p port) bool { return p.input })
}

// unlessEnded returns a context that ends as ctx does, but not if a stream has stopped the node: the
// command's last output is still sent.
func unlessEnded(ctx context.Context) (context.Context, func()) {
	sending, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	unlink := context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); !errors.Is(cause, executor.ErrEnded) {
			cancel(cause)
		}
	})
	return sending, func() { unlink(); cancel(nil) }
}

func (r *run) closeInputs() {
	for i, p := range r.ports {
		if p.input {
			_ = r.pipes[i].Close()
		}
	}
}

// feed writes an input's records to the command while reading is active. If the command stops reading, feed
// closes the input.
func (r *run) feed(ctx, reading context.Context, p port, pipe io.WriteCloser) error {
	defer func() { _ = pipe.Close() }()
	in := executor.Input(p.Name, executor.Codec[[]byte](checked(p.Typename)))
	w := &frameWriter{w: pipe, port: p}
	for records, err := range in.Batches(reading, r.job) {
		failed := w.write(records)
		switch {
		case errors.Is(failed, syscall.EPIPE):
			return in.Close(ctx, r.job)
		case errors.Is(context.Cause(reading), errExited):
			return nil
		case failed != nil:
			return failed
		case err != nil:
			return err
		}
	}
	return nil
}

// A frameWriter writes records to a pipe.
type frameWriter struct {
	w     io.Writer
	port  port
	buf   []byte
	count int64
}

// write writes a batch of records.
func (w *frameWriter) write(records [][]byte) error {
	for _, record := range records {
		var err error
		if w.buf, err = w.port.framing.append(w.buf, record); err != nil {
			err = fmt.Errorf("%s: cannot frame record %d as %s: %w", w.port, w.count, w.port.framing, err)
			return &executor.PortError{Port: w.port.Name, Record: w.count, Err: err}
		}
		w.count++
		if len(w.buf) >= chunk {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return w.flush()
}

func (w *frameWriter) flush() error {
	_, err := w.w.Write(w.buf)
	w.buf = w.buf[:0]
	if cap(w.buf) > keep {
		w.buf = nil
	}
	return err
}
