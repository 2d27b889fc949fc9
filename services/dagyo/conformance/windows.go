package conformance

import (
	"context"
	"errors"
	"fmt"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/services/dagyo/conformance/audit"
)

// smallWindow and fewFrames bound outputs whose writers are to feel it. The other bound does not matter
// then.
const (
	smallWindow = 256 << 10
	fewFrames   = 4
)

func windowChecks() []Check {
	const see = "Edges, Writer, Window"
	return []Check{{
		Name: "window.absent-reader", See: see, run: windowAbsent(outWindow(smallWindow, defaultFrames)),
		Demand: "Without a reader no more than `window` bytes are sent, the input is not read further " +
			"meanwhile, and a late reader gets everything.",
	}, {
		Name: "window.frames", See: see, run: windowAbsent(outWindow(defaultWindow, fewFrames)),
		Demand: "Without a reader no more than `frames` frames are sent.",
	}, {
		Name: "window.slow-reader", See: see, run: windowSlow,
		Demand: "A slow reader is never more than the window behind, and gets everything.",
	}}
}

// plenty is far more than windows and buffers hold.
func plenty() load { return repeated(1000, 16_000) }

func windowAbsent(bound edit) func(context.Context, *stage) (string, error) {
	return func(ctx context.Context, s *stage) (string, error) {
		l := plenty()
		p, f, err := s.running(ctx, window(smallWindow, 64), bound)
		if err != nil {
			return "", err
		}
		w, err := f.writer()
		if err != nil {
			return "", err
		}
		defer w.Abort()
		var ahead audit.Ahead
		err = f.during(ctx,
			func(ctx context.Context) error { return l.send(ctx, w) },
			func(ctx context.Context) (err error) {
				if ahead, err = f.fills(ctx, p, w, len(l)); err != nil {
					return err
				}
				return f.readAll(ctx, l)
			},
		)
		if err == nil {
			err = f.doneWith(ctx, l.count())
		}
		if err == nil {
			_, err = audit.Window(p.tap.Journal.All(), f.out)
		}
		if err == nil {
			_, _, err = audit.Frames(p.tap.Journal.All(), f.out, s.hub.outside.MaxPayload())
		}
		return fmt.Sprintf("%s of %s sent ahead, and all came in the end",
			document.Count(int64(ahead.Frames), "frame"), document.Count(int64(ahead.Octets), "byte")), err
	}
}

// fills waits until the program writes no more although nobody reads, and judges what it did.
func (f *flow) fills(ctx context.Context, p *program, w *stream.Writer, records int) (audit.Ahead, error) {
	_, _, late := p.await(ctx, f.patience, "frame on the output", 0, f.writes)
	if late != nil && !errors.As(late, new(*slow)) { // a program that was only slow may have a worse fault
		return audit.Ahead{}, late
	}
	if err := p.quiet(ctx, f.writes); err != nil {
		return audit.Ahead{}, err
	}
	ahead, err := audit.Window(p.tap.Journal.All(), f.out)
	if taken := w.Count().Records; err == nil && taken == int64(records) {
		err = fmt.Errorf("all %d records of the input were read while nobody read the output: they are in "+
			"the program's memory", records)
	}
	if err == nil {
		err = late
	}
	return ahead, err
}

func (f *flow) readAll(ctx context.Context, l load) error {
	r, err := f.reader()
	if err != nil {
		return err
	}
	defer r.Abort()
	return l.expect(ctx, r, 0)
}

func windowSlow(ctx context.Context, s *stage) (string, error) {
	l := repeated(1000, 4000)
	p, f, err := s.running(ctx, window(smallWindow, 64))
	if err != nil {
		return "", err
	}
	w, r, release, err := f.ends()
	if err != nil {
		return "", err
	}
	defer release()
	err = f.during(ctx,
		func(ctx context.Context) error { return l.send(ctx, w) },
		func(ctx context.Context) error { return f.crawl(ctx, p, l, r) },
	)
	if err == nil {
		err = f.doneWith(ctx, l.count())
	}
	ahead, over := audit.Window(p.tap.Journal.All(), f.out)
	return fmt.Sprintf("at most %s of %s not consumed",
			document.Count(int64(ahead.Frames), "frame"), document.Count(int64(ahead.Octets), "byte")),
		errors.Join(err, over)
}

// crawl reads a little, waits until the program writes no more, and so on; then it reads the rest.
func (f *flow) crawl(ctx context.Context, p *program, l load, r *stream.Reader) error {
	const step, steps = 300, 3
	for i := range step * steps {
		if i%step == 0 {
			if err := p.quiet(ctx, f.writes); err != nil {
				return err
			}
		}
		if err := l.expectOne(ctx, r, i); err != nil {
			return err
		}
	}
	return l.expect(ctx, r, step*steps)
}
