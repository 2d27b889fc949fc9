package conformance

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/services/dagyo/conformance/audit"
)

// beats is how many heartbeats each check waits for.
const beats = 4

func healthChecks() []Check {
	const see = "Executors, While a job runs, Health"
	return []Check{{
		Name: "health.idle", See: see, run: healthIdle,
		Demand: "A job waiting for its input sends a heartbeat in every healthInterval, valid for the " +
			"healthTimeout: + and the time in milliseconds.",
	}, {
		Name: "health.busy", See: see, run: healthBusy,
		Demand: "A job that is busy with records at full speed sends heartbeats.",
	}, {
		Name: "health.blocked", See: see, run: healthBlocked,
		Demand: "A job that is blocked on its output sends heartbeats.",
	}}
}

func healthIdle(ctx context.Context, s *stage) (string, error) {
	p, f, err := s.running(ctx)
	if err != nil {
		return "", err
	}
	return f.beats(ctx, p)
}

// beats waits for some heartbeats and judges them.
func (f *flow) beats(ctx context.Context, p *program) (string, error) {
	started, at, err := p.await(ctx, f.patience, "job.started", 0, published(f.doc.Started))
	if err != nil {
		return "", err
	}
	limit := testInterval + testTimeout // a job that has said nothing for so long is lost
	for i := range beats {
		what := fmt.Sprintf("heartbeat %d on %s (one is due every %v)", i+1, f.doc.Health, testInterval)
		if _, at, err = p.await(ctx, limit, what, at+1, published(f.doc.Health)); err != nil {
			return "", err
		}
	}
	all := audit.BeatsOf(p.tap.Journal.All(), f.doc.Health, started.At)
	late := slack + f.clock.Lateness(started.At, time.Now())
	if err := audit.Beats(all, testInterval, testTimeout, late); err != nil {
		return "", err
	}
	took := all[len(all)-1].After
	return fmt.Sprintf("%d heartbeats in %.1f s, one due every %v",
		len(all), took.Seconds(), testInterval), nil
}

// errEnough ends a load that went on until something else was known.
var errEnough = errors.New("enough")

func healthBusy(ctx context.Context, s *stage) (string, error) {
	p, f, err := s.running(ctx)
	if err != nil {
		return "", err
	}
	w, r, release, err := f.ends()
	if err != nil {
		return "", err
	}
	defer release()
	seen := ""
	err = f.during(ctx,
		func(ctx context.Context) error { return feedForever(ctx, w) },
		func(ctx context.Context) error {
			for {
				if _, err := r.Recv(ctx); err != nil {
					return err
				}
			}
		},
		func(ctx context.Context) (err error) {
			if seen, err = f.beats(ctx, p); err == nil {
				err = errEnough
			}
			return err
		},
	)
	if !errors.Is(err, errEnough) {
		return "", err
	}
	return fmt.Sprintf("%s, while %s went through", seen, document.Count(r.Count().Records, "record")), nil
}

func healthBlocked(ctx context.Context, s *stage) (string, error) {
	p, f, err := s.running(ctx, window(64<<10, 64))
	if err != nil {
		return "", err
	}
	w, err := f.writer()
	if err != nil {
		return "", err
	}
	defer w.Abort()
	seen := ""
	err = f.during(ctx,
		func(ctx context.Context) error { return repeated(1000, 20_000).send(ctx, w) },
		func(ctx context.Context) (err error) {
			if _, _, err := p.await(ctx, s.patience, "frame on the output", 0, f.writes); err != nil {
				return err
			}
			if seen, err = f.beats(ctx, p); err == nil {
				err = errEnough
			}
			return err
		},
	)
	if !errors.Is(err, errEnough) {
		return "", err
	}
	return seen + ", without a reader of the output", nil
}
