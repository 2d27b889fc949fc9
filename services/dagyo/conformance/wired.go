package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/dagyo/dagyo/services/dagyo/conformance/tap"
)

// stoppable starts an executor and a flow whose job has a stream wired to its stop. The writer is that
// stream's; abort it.
func (s *stage) stoppable(ctx context.Context) (*program, *flow, *stream.Writer, error) {
	p, err := s.start(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	f, err := s.flow(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	a := s.address(f.doc.Flow, 2)
	f.doc.Inputs[progdef.StopPort] = a
	if err := f.put(ctx); err != nil {
		return nil, nil, nil, err
	}
	stop, err := stream.NewWriter(f.hub.outside.JS, a)
	return p, f, stop, err
}

func stopWired(ctx context.Context, s *stage) (string, error) {
	_, f, stop, err := s.stoppable(ctx)
	if err != nil {
		return "", err
	}
	defer stop.Abort()
	w, r, release, err := f.ends()
	if err != nil {
		return "", err
	}
	defer release()
	l := repeated(10, 3)
	from := time.Now()
	err = f.during(ctx, func(ctx context.Context) error {
		if err := l.through(ctx, w, r); err != nil {
			return err
		}
		from = time.Now()
		return f.endedBy(ctx, stop, w, r)
	})
	if err != nil {
		return "", err
	}
	d, err := f.done(ctx, f.patience)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("the output ended, and the job was done, after %.1f s", time.Since(from).Seconds()), f.wasEnded(d, l)
}

// through sends the records and awaits each, and ends nothing.
func (l load) through(ctx context.Context, w *stream.Writer, r *stream.Reader) error {
	for i, size := range l {
		if err := w.Send(ctx, record(i, size)); err != nil {
			return fmt.Errorf("write record %d to the program's input: %w", i, err)
		}
		if err := l.expectOne(ctx, r, i); err != nil {
			return err
		}
	}
	return nil
}

// endedBy sends the record that ends the program, and awaits that its edges learn it.
func (f *flow) endedBy(ctx context.Context, stop, w *stream.Writer, r *stream.Reader) error {
	if err := stop.Send(ctx, record(0, 10)); err != nil {
		return fmt.Errorf("write to the program's stop: %w", err)
	}
	within, cancel := f.clock.Within(ctx, stopLimit, errLate)
	defer cancel()
	switch got, err := r.Recv(within); {
	case err == nil:
		return fmt.Errorf("the output has a record of %s that nobody sent", document.Count(len(got), "byte"))
	case within.Err() != nil:
		return fmt.Errorf("the stream that is wired to stop had a record, and the output did not end within %v", stopLimit)
	case !errors.Is(err, io.EOF):
		return fmt.Errorf("wait for the output's end after the record on stop: %w", err)
	}
	for port, writer := range map[string]*stream.Writer{f.inPort(): w, progdef.StopPort: stop} {
		if err := closedEarly(within, writer); err != nil {
			return fmt.Errorf("input %s after the record on stop: %w", port, err)
		}
	}
	return nil
}

// closedEarly awaits that a writer is told that nobody reads it any more.
func closedEarly(ctx context.Context, w *stream.Writer) error {
	for {
		switch err := w.Send(ctx, record(0, 10)); {
		case errors.Is(err, stream.ErrReaderClosed):
			return nil
		case ctx.Err() != nil:
			return errors.New("its writer was not told that nobody reads it")
		case err != nil:
			return err
		}
	}
}

// wasEnded judges the last word of a job that a stream has ended.
func (f *flow) wasEnded(d *contract.JobDone, l load) error {
	in, out, stop := d.Inputs[f.inPort()], d.Outputs[f.outPort()], d.Inputs[progdef.StopPort]
	switch {
	case d.Stopped:
		return errors.New("job.done says stopped: true, and the flow was not stopped")
	case in != l.count() || out != l.count():
		return fmt.Errorf("job.done counts %+v on %s and %+v on %s; %+v went through", in, f.inPort(), out, f.outPort(), l.count())
	case stop.Records < 1:
		return fmt.Errorf("job.done counts %+v on %s, which had a record", stop, progdef.StopPort)
	}
	for _, port := range []string{f.inPort(), progdef.StopPort} {
		if !slices.Contains(d.ClosedEarly, port) {
			return fmt.Errorf("job.done does not name %q in closedEarly", port)
		}
	}
	return nil
}

func stopWiredEmpty(ctx context.Context, s *stage) (string, error) {
	p, f, stop, err := s.stoppable(ctx)
	if err != nil {
		return "", err
	}
	defer stop.Abort()
	if err := stop.Close(ctx); err != nil {
		return "", fmt.Errorf("end the stream that is wired to stop: %w", err)
	}
	const read = "credit for the end of the stream that is wired to stop"
	if _, _, err := p.await(ctx, s.patience, read, 0, creditsOne); err != nil {
		return "", err
	}
	if err := f.echo(ctx, repeated(10, 3)); err != nil {
		return "", fmt.Errorf("the stream that is wired to stop had no record: %w", err)
	}
	return "the job went on to the end of its input", nil
}

// creditsOne matches a credit of a reader that has consumed a frame, or wants none.
func creditsOne(m tap.Message) bool {
	c, err := wire.ParseCredit(m.Data)
	return m.Op == tap.Pub && err == nil && (c.Frame > 0 || c.Closed)
}
