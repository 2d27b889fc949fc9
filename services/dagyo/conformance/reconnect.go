package conformance

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/services/dagyo/conformance/tap"
)

func reconnectChecks() []Check {
	return []Check{{
		Name: "reconnect.kicked", See: "Edges, Writer, A new token; Edges, Reader, Reattach", run: reconnectKicked,
		Demand: "An executor whose connection is cut in mid-stream reconnects and continues: in order, " +
			"each record once.",
	}, {
		Name: "reconnect.restart", See: "Edges, Writer, Storing; Edges, Reader, Reattach", alone: true,
		run:    reconnectRestart,
		Demand: "A restart of the NATS server in mid-stream only delays the job.",
	}, {
		Name: "reconnect.rejected", See: "Executors, Connection", run: reconnectRejected,
		Demand: "An executor whose login is rejected when it reconnects tries again until it succeeds, and continues.",
	}}
}

// interrupted sends a load through a job and calls interrupt at some places of the output.
func (f *flow) interrupted(
	ctx context.Context, l load, times int, interrupt func(context.Context) error,
) error {
	w, r, release, err := f.ends()
	if err != nil {
		return err
	}
	defer release()
	err = f.during(ctx,
		func(ctx context.Context) error { return l.send(ctx, w) },
		func(ctx context.Context) error {
			step := len(l) / (times + 1)
			for i := range step * times {
				if err := l.expectOne(ctx, r, i); err != nil {
					return err
				}
				if i%step == step-1 {
					if err := interrupt(ctx); err != nil {
						return err
					}
				}
			}
			return l.expect(ctx, r, step*times)
		},
	)
	if err != nil {
		return err
	}
	return f.doneWith(ctx, l.count())
}

func reconnectKicked(ctx context.Context, s *stage) (string, error) {
	const times = 5
	l := varied(6000, 4000)
	p, f, err := s.running(ctx, window(smallWindow, 64))
	if err != nil {
		return "", err
	}
	err = f.interrupted(ctx, l, times, func(context.Context) error { p.tap.Cut(); return nil })
	return fmt.Sprintf("%v went through, with %d cuts", l, times), err
}

func reconnectRejected(ctx context.Context, s *stage) (string, error) {
	const times = 3
	p, f, err := s.running(ctx)
	if err == nil {
		err = f.started(ctx)
	}
	if err != nil {
		return "", err
	}
	var rejected atomic.Int64
	p.tap.Decide(func(m *tap.Message) tap.Decision {
		return tap.Decision{Refuse: m.Op == tap.Connect && rejected.Add(1) <= times}
	})
	p.tap.Cut()
	if err := f.echo(ctx, varied(1000, 100)); err != nil {
		return "", fmt.Errorf("the server rejected its login %s: %w", document.Count(min(rejected.Load(), times), "time"), err)
	}
	return fmt.Sprintf("it tried again after %d rejected logins", times), nil
}

func reconnectRestart(ctx context.Context, s *stage) (string, error) {
	const times = 2
	l := varied(6000, 4000)
	_, f, err := s.running(ctx, window(smallWindow, 64))
	if err != nil {
		return "", err
	}
	err = f.interrupted(ctx, l, times, func(ctx context.Context) error { return s.hub.restart(ctx, s.programs) })
	return fmt.Sprintf("%v went through, with %d restarts", l, times), err
}
