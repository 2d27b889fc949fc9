package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/pkg/wire"
)

func closeChecks() []Check {
	return []Check{{
		Name: "close.output", See: "Executors, How a job ends; Edges, Writer, Credits", run: closeOutput,
		Demand: "A reader that closes early is not a failure: the program ends, or reads its input to the end.",
	}, {
		Name: "close.absent-reader", See: "Edges, Writer, Credits", run: closeBefore,
		Demand: "A reader that closed before the job started is noticed.",
	}, {
		Name: "close.input", See: "Executors, How a job ends, Done; Edges, Reader, Close early", run: closeInput,
		Demand: "An input that the program does not read to its end is closed: its writer is notified, " +
			"and job.done names it in closedEarly.",
	}}
}

func closeOutput(ctx context.Context, s *stage) (string, error) {
	_, f, err := s.running(ctx, window(smallWindow, 64))
	if err != nil {
		return "", err
	}
	d, sent, err := f.closeBehind(ctx, 100)
	if err != nil {
		return "", err
	}
	return f.endedEarly(d, sent)
}

func closeBefore(ctx context.Context, s *stage) (string, error) {
	f, err := s.flow(ctx, window(smallWindow, 64))
	if err != nil {
		return "", err
	}
	r, err := f.reader()
	if err != nil {
		return "", err
	}
	if err := errors.Join(r.Close(ctx), f.put(ctx)); err != nil {
		return "", err
	}
	if _, err := s.start(ctx); err != nil {
		return "", err
	}
	d, sent, err := f.feed(ctx)
	if err != nil {
		return "", err
	}
	return f.endedEarly(d, sent)
}

// closeBehind reads some records, wants no more, and returns how the job has ended.
func (f *flow) closeBehind(ctx context.Context, records int) (*contract.JobDone, contract.Count, error) {
	r, err := f.reader()
	if err != nil {
		return nil, contract.Count{}, err
	}
	defer r.Abort()
	var d *contract.JobDone
	var sent contract.Count
	err = f.during(ctx,
		func(ctx context.Context) (err error) { d, sent, err = f.feed(ctx); return err },
		func(ctx context.Context) error {
			l := plenty()
			for i := range records {
				if err := l.expectOne(ctx, r, i); err != nil {
					return err
				}
			}
			return r.Close(ctx)
		},
	)
	return d, sent, err
}

// feed writes to the input until nobody wants more or all is said, and returns how the job has ended and
// what was sent.
func (f *flow) feed(ctx context.Context) (d *contract.JobDone, sent contract.Count, err error) {
	w, err := f.writer()
	if err != nil {
		return nil, contract.Count{}, err
	}
	defer w.Abort()
	over := make(chan struct{})
	err = f.during(ctx,
		func(ctx context.Context) error {
			defer close(over)
			err := plenty().send(ctx, w)
			if errors.Is(err, stream.ErrReaderClosed) {
				err = nil
			}
			return err
		},
		func(ctx context.Context) (err error) {
			if d, err = f.done(ctx, limit); err == nil {
				err = f.learns(ctx, over)
			}
			return err
		},
	)
	return d, w.Count(), err
}

// learns holds a job that is done to its word: the writer of its input, which is over then, is told that
// nobody reads it.
func (f *flow) learns(ctx context.Context, over <-chan struct{}) error {
	within, cancel := f.clock.Within(ctx, f.patience, errLate)
	defer cancel()
	select {
	case <-over:
		return nil
	case <-within.Done():
		return fmt.Errorf("the job is done, and in %v the writer of its input was not told that nobody reads it",
			f.patience)
	}
}

// endedEarly judges a job whose output was closed by its reader.
func (f *flow) endedEarly(d *contract.JobDone, sent contract.Count) (string, error) {
	in := d.Inputs[f.inPort()]
	switch early := slices.Contains(d.ClosedEarly, f.inPort()); {
	case d.Stopped:
		return "", errors.New("job.done says stopped: true, and nobody stopped the flow")
	case early && in.Records > sent.Records:
		return "", fmt.Errorf("job.done counts %s on %s; sent: %d",
			document.Count(in.Records, "record"), f.inPort(), sent.Records)
	case !early && in != sent:
		return "", fmt.Errorf("job.done counts %+v on %s and does not say that it was closed early; %+v was sent",
			in, f.inPort(), sent)
	case early:
		return fmt.Sprintf("the program ended with %s read, and closed its input", document.Count(in.Records, "record")), nil
	}
	return "the program read its input to the end", nil
}

func closeInput(ctx context.Context, s *stage) (string, error) {
	_, f, err := s.running(ctx, window(smallWindow, 64))
	if err != nil {
		return "", err
	}
	d, _, err := f.closeBehind(ctx, 100)
	if err != nil {
		return "", err
	}
	if in := d.Inputs[f.inPort()]; in == plenty().count() {
		return "", &skip{"this program reads its input to the end, also when nobody wants its output"}
	}
	if !slices.Contains(d.ClosedEarly, f.inPort()) {
		return "", fmt.Errorf("job.done does not name %q in closedEarly, and counts %d of %d records",
			f.inPort(), d.Inputs[f.inPort()].Records, len(plenty()))
	}
	c, err := f.lastCredit(ctx)
	if err == nil && !c.Closed {
		err = errors.New("the stream's last credit for the input is not CLOSED")
	}
	return "the stream holds a credit with CLOSED, and job.done names the input", err
}

var errNoCredit = errors.New("the stream holds no credit for the input")

// lastCredit is what the stream holds of the input's credits.
func (f *flow) lastCredit(ctx context.Context) (wire.Credit, error) {
	held, err := f.hub.inside.JS.Stream(ctx, f.in.Stream)
	if err != nil {
		return wire.Credit{}, err
	}
	m, err := held.GetLastMsgForSubject(ctx, f.in.Credit)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return wire.Credit{}, errNoCredit
	}
	if err != nil {
		return wire.Credit{}, err
	}
	return wire.ParseCredit(m.Data)
}
