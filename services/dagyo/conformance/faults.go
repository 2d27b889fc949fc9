package conformance

import (
	"context"
	"errors"
	"fmt"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/dagyo/dagyo/services/dagyo/conformance/audit"
)

func faultChecks() []Check {
	const see, reader = "Executors, How a job ends, Panic", "Frames, A reader"
	return []Check{{
		Name: "decode.utf8", See: see + ", deserialization", run: decodeUTF8,
		Demand: "A record that does not match its typename is a panic of kind deserialization, with port " +
			"and record.",
	}, {
		Name: "fault.gap", See: "Edges, Reader, Reattach",
		Demand: "A frame that stays missing is a panic of kind protocol.",
		run:    faulty(func(y forgery) forgery { return y.without(1) }),
	}, {
		Name: "fault.records", See: reader + ", 6",
		Demand: "An END with a wrong number of records is a panic of kind protocol.",
		run:    faulty(func(y forgery) forgery { return y.flipped(13) }),
	}, {
		Name: "fault.octets", See: reader + ", 6",
		Demand: "An END with a wrong number of bytes is a panic of kind protocol.",
		run:    faulty(func(y forgery) forgery { return y.flipped(5) }),
	}, {
		Name: "fault.checksum", See: reader + ", 6",
		Demand: "An END with a wrong checksum is a panic of kind protocol.",
		run:    faulty(func(y forgery) forgery { return y.flipped(1) }),
	}, {
		Name: "fault.frame", See: reader + ", 1",
		Demand: "A message that is not a frame is a panic of kind protocol.",
		run:    faulty(func(y forgery) forgery { return y.replaced(1, []byte("%PDF-1.7")) }),
	}, {
		Name: "fault.length", See: reader + ", 5",
		Demand: "A chunk whose length exceeds its frame is a panic of kind protocol, and allocates no memory.",
		run:    faulty(func(y forgery) forgery { return y.replaced(1, endless(2)) }),
	}, {
		Name: "fault.no-end", See: see, run: faultNoEnd,
		Demand: "A job that panics does not end its outputs.",
	}, {
		Name: "stream.repeats", See: reader + ", 2", run: streamRepeats,
		Demand: "A repeated frame is dropped.",
	}}
}

// endless is a frame whose chunk says that it has 2^40 octets.
func endless(number byte) []byte {
	frame := []byte{wire.Version, 0, 0, 0, 0, 0, 0, 0, 0, number}
	return append(frame, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40, 'x')
}

// forged runs a job whose input is forged, and stored before the job starts.
func (s *stage) forged(ctx context.Context, frames forgery) (*program, *flow, error) {
	f, err := s.flow(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(f.store(ctx, frames), f.put(ctx)); err != nil {
		return nil, nil, err
	}
	p, err := s.start(ctx)
	return p, f, err
}

// faulty is a check that makes an input wrong, which the job must refuse.
func faulty(wrong func(forgery) forgery) func(context.Context, *stage) (string, error) {
	return func(ctx context.Context, s *stage) (string, error) {
		_, f, err := s.forged(ctx, wrong(forge(greetings()...)))
		if err != nil {
			return "", err
		}
		d, err := f.panicked(ctx, s.patience, contract.KindProtocol)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("the job panicked: %.200s", d.Message), f.rightPort(d)
	}
}

// rightPort refuses a panic that blames another port than the input.
func (f *flow) rightPort(d *contract.JobPanic) error {
	if d.Port != "" && d.Port != f.inPort() {
		return fmt.Errorf("the panic is about port %q; the fault was on %q", d.Port, f.inPort())
	}
	return nil
}

func decodeUTF8(ctx context.Context, s *stage) (string, error) {
	if s.ports.Type != "utf8-string" {
		return "", &skip{"the ports carry " + s.ports.Type + "; only what utf8-string promises is known here"}
	}
	const bad = 2
	_, f, err := s.forged(ctx, forge([]byte("fine"), []byte("too"), []byte{'n', 0xff, 0xfe}, []byte("late")))
	if err != nil {
		return "", err
	}
	d, err := f.panicked(ctx, s.patience, contract.KindDeserialization)
	switch {
	case err != nil:
		return "", fmt.Errorf("record %d was not valid UTF-8: %w", bad, err)
	case d.Port != f.inPort():
		return "", fmt.Errorf("the panic is about port %q, not %q", d.Port, f.inPort())
	case d.Record == nil:
		return "", errors.New("the panic does not say which record it was")
	case *d.Record != bad:
		return "", fmt.Errorf("the panic is about record %d; it was record %d, from 0", *d.Record, bad)
	}
	return fmt.Sprintf("port %s, record %d: %.200s", d.Port, *d.Record, d.Message), nil
}

func faultNoEnd(ctx context.Context, s *stage) (string, error) {
	p, f, err := s.forged(ctx, forge(greetings()...).without(2))
	if err != nil {
		return "", err
	}
	if _, err := f.panicked(ctx, s.patience, contract.KindProtocol); err != nil {
		return "", err
	}
	// A sentinel: what the job before it left undone is done or never will be.
	if err := s.another(ctx); err != nil {
		return "", fmt.Errorf("behind the job that panicked: %w", err)
	}
	n, ended, err := audit.Frames(p.tap.Journal.All(), f.out, s.hub.outside.MaxPayload())
	if err == nil && ended {
		err = errors.New("the output has an END, so its reader takes it for complete")
	}
	return fmt.Sprintf("the output has %s and no END; the next job ran", document.Count(n, "frame")), err
}

func streamRepeats(ctx context.Context, s *stage) (string, error) {
	y := forge(greetings()...)
	p, f, err := s.forged(ctx, y[:2])
	if err != nil {
		return "", err
	}
	to, err := f.attachedAt(ctx, p)
	if err != nil {
		return "", err
	}
	for _, frame := range (forgery{y[0], y[0], y[1], y[0], y[1], y[2], y[3], y[2], y[4], y[4]}) {
		if err := s.hub.outside.Publish(to, frame); err != nil {
			return "", fmt.Errorf("send the input directly: %w", err)
		}
	}
	l := repeated(20, len(greetings()))
	nothing := func(context.Context) error { return nil }
	return fmt.Sprintf("%d frames were sent again, each record came once", 7), f.echoFrom(ctx, l, nothing)
}
