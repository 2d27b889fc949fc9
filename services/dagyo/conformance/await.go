package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/services/dagyo/conformance/audit"
	"github.com/dagyo/dagyo/services/dagyo/conformance/tap"
)

// await awaits a message in the executor's journal, behind the first n. what names it in errors.
func (p *program) await(
	ctx context.Context, within time.Duration, what string, n int, matches func(tap.Message) bool,
) (tap.Message, int, error) {
	return awaitIn(ctx, p.timing, within, what, &p.tap.Journal, n, matches)
}

// ready awaits that the executor asks for jobs.
func (p *program) ready(ctx context.Context) error {
	_, _, err := p.await(ctx, p.patience, "request for jobs (the executor does not pull from its mailbox)",
		0, audit.IsPull)
	return err
}

// quiet waits until nothing has matched for a while. It is no synchronisation: what is asked then holds
// at any time, and says the more the later.
func (p *program) quiet(ctx context.Context, matches func(tap.Message) bool) error {
	n := p.tap.Journal.Len()
	for {
		within, cancel := p.clock.Within(ctx, quietFor, errLate)
		_, at, err := p.tap.Journal.Await(within, n, matches)
		cancel()
		switch {
		case errors.Is(err, errLate):
			return nil
		case err != nil:
			return err
		}
		n = at + 1
	}
}

// never reports an error if something matches within hold, or matched already.
func (p *program) never(ctx context.Context, what string, n int, matches func(tap.Message) bool) error {
	within, cancel := p.clock.Within(ctx, hold, errLate)
	defer cancel()
	m, _, err := p.tap.Journal.Await(within, n, matches)
	switch {
	case err == nil:
		return fmt.Errorf("%s: it published on %s", what, m.Subject)
	case errors.Is(err, errLate):
		return nil
	}
	return err
}

// published matches what an executor publishes on a plain subject, as itself or anonymously.
func published(subject string) func(tap.Message) bool {
	return func(m tap.Message) bool { return m.Op == tap.Pub && m.Plain() == subject }
}

// works matches what only the owner of a flow's job does.
func (f *flow) works(m tap.Message) bool { return audit.Works(m, f.doc.Flow) }

// writes matches the frames of the flow's output.
func (f *flow) writes(m tap.Message) bool { return m.Op == tap.Pub && audit.IsFrame(m, f.out) }

// stored awaits an event on one of the plain subjects in EVENTS, of any sender.
func (h *hub) stored(
	ctx context.Context, t timing, within time.Duration, what string, subjects ...string,
) (said, error) {
	s, _, err := awaitIn(ctx, t, within, what, &h.events, 0, func(s said) bool {
		return slices.Contains(subjects, s.plain())
	})
	return s, err
}

// decode reads an event as Dagyo's services do.
func (s said) decode() (contract.Event, error) {
	e, err := event.Decode(s.subject, s.header, s.data)
	if err != nil {
		return e, fmt.Errorf("the event on %s cannot be read: %w", s.subject, err)
	}
	return e, nil
}

// started awaits that the job was started.
func (f *flow) started(ctx context.Context) error {
	_, err := f.hub.stored(ctx, f.timing, f.patience, "job.started", f.doc.Started)
	return err
}

// ended awaits the job's last event.
func (f *flow) ended(ctx context.Context, within time.Duration) (contract.Event, error) {
	s, err := f.hub.stored(ctx, f.timing, within, "job.done or job.panic", f.doc.Done, f.doc.Panic)
	if err != nil {
		return contract.Event{}, err
	}
	return s.decode()
}

// done awaits that the job is done.
func (f *flow) done(ctx context.Context, within time.Duration) (*contract.JobDone, error) {
	e, err := f.ended(ctx, within)
	if err != nil {
		return nil, err
	}
	if d, ok := e.Data.(*contract.JobDone); ok {
		return d, nil
	}
	return nil, unwanted(e)
}

func unwanted(e contract.Event) error {
	switch d := e.Data.(type) {
	case *contract.JobPanic:
		return fmt.Errorf("the job panicked, kind %s: %.300s", d.Kind, d.Message)
	case *contract.JobDone:
		if d.Stopped {
			return errors.New("the job said job.done with stopped: true")
		}
		return errors.New("the job said job.done")
	}
	return fmt.Errorf("unexpected %s", e.Type)
}

// panicked awaits a panic of a kind.
func (f *flow) panicked(
	ctx context.Context, within time.Duration, kind contract.Kind,
) (*contract.JobPanic, error) {
	e, err := f.ended(ctx, within)
	if err != nil {
		return nil, err
	}
	p, ok := e.Data.(*contract.JobPanic)
	switch {
	case !ok:
		return nil, fmt.Errorf("%w instead of a panic of kind %s", unwanted(e), kind)
	case p.Kind != kind:
		return nil, fmt.Errorf("the panic has kind %s, not %s: %.300s", p.Kind, kind, p.Message)
	}
	return p, nil
}

// stopped awaits that the job says it was stopped.
func (f *flow) stopped(ctx context.Context, within time.Duration) error {
	d, err := f.done(ctx, within)
	if err == nil && !d.Stopped {
		err = errors.New("job.done does not have stopped: true")
	}
	return err
}

// during runs tasks side by side until all have ended; a task's error and a panic of the job end them.
func (f *flow) during(ctx context.Context, tasks ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		_, _, err := f.hub.events.Await(ctx, 0, func(s said) bool { return s.plain() == f.doc.Panic })
		if err == nil {
			_, err = f.done(ctx, f.patience)
			cancel(err)
		}
	}()
	g, tasksCtx := errgroup.WithContext(ctx)
	for _, task := range tasks {
		g.Go(func() error { return task(tasksCtx) })
	}
	err := g.Wait()
	if cause := context.Cause(ctx); err != nil && cause != nil {
		err = fmt.Errorf("%w (%w)", cause, err)
	}
	cancel(nil)
	<-watching
	return err
}

// echo sends a load through the job, and checks all that comes out of it and what the job says.
func (f *flow) echo(ctx context.Context, l load) error {
	w, err := f.writer()
	if err != nil {
		return err
	}
	defer w.Abort()
	return f.echoFrom(ctx, l, func(ctx context.Context) error { return l.send(ctx, w) })
}

// echoFrom is echo for an input that send writes.
func (f *flow) echoFrom(ctx context.Context, l load, send func(context.Context) error) error {
	if err := f.started(ctx); err != nil {
		return err
	}
	r, err := f.reader()
	if err != nil {
		return err
	}
	defer r.Abort()
	err = f.during(ctx, send, func(ctx context.Context) error { return l.expect(ctx, r, 0) })
	if err != nil {
		return err
	}
	return f.doneWith(ctx, l.count())
}

// doneWith awaits job.done and holds its counts to what went in and came out.
func (f *flow) doneWith(ctx context.Context, want contract.Count) error {
	d, err := f.done(ctx, f.patience)
	if err != nil {
		return err
	}
	in, out := d.Inputs[f.inPort()], d.Outputs[f.outPort()]
	switch {
	case d.Stopped:
		return errors.New("job.done says stopped: true, and nobody stopped the flow")
	case len(d.ClosedEarly) > 0:
		return fmt.Errorf("job.done says that %v was closed early; it was read to its end", d.ClosedEarly)
	case in != want:
		return fmt.Errorf("job.done counts %+v on %s; %+v went in", in, f.inPort(), want)
	case out != want:
		return fmt.Errorf("job.done counts %+v on %s; %+v came out", out, f.outPort(), want)
	}
	return nil
}

func (f *flow) inPort() string  { return portOf(f.doc.Inputs, f.in) }
func (f *flow) outPort() string { return portOf(f.doc.Outputs, f.out) }

func portOf(ports map[string]contract.Address, a contract.Address) string {
	for port, at := range ports {
		if at == a {
			return port
		}
	}
	return ""
}

// pause returns after d, or with the context's error.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
