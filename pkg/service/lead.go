package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
)

// lead competes for the service's lease, and decides for as long as it holds it.
//
// One replica decides at a time. JetStream would drop a second replica's repeats, but whoever
// listens on plain NATS would see them, and two different verdicts on one flow. The others
// follow: their state is as current, so they take over at once.
func (r *Runtime[S]) lead(ctx context.Context) error {
	lease := broker.NewLease(r.link.JS, r.s.Name)
	for ctx.Err() == nil {
		held, release, err := lease.Acquire(ctx)
		if err != nil {
			return err
		}
		r.log.Info().Uint64("events", r.folded()).Msg("leading")
		err = r.prepareAndLead(held)
		release()
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			r.log.Warn().Err(err).Msg("no longer leading")
			pause(ctx, time.Second)
		}
	}
	return nil
}

func (r *Runtime[S]) prepareAndLead(ctx context.Context) error {
	if r.s.BeginLeading == nil {
		return r.leading(ctx)
	}
	end, err := r.s.BeginLeading(ctx)
	if err != nil {
		return fmt.Errorf("begin to lead: %w", err)
	}
	return errors.Join(r.leading(ctx), end())
}

// leading does what only the leader does, until it no longer is.
func (r *Runtime[S]) leading(ctx context.Context) error {
	b, err := r.openBook(ctx, r.s.Name)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	t := &term{
		workers: make([]chan task, r.c.Workers), book: b, slots: make(chan struct{}, maxInFlight),
		after: func(f func()) { g.Go(func() error { f(); return nil }) },
	}
	for i := range t.workers {
		t.workers[i] = make(chan task, workerQueue)
		t.after(func() { r.work(ctx, t, t.workers[i]) })
	}
	for _, l := range r.s.Lead {
		g.Go(func() error { return l(ctx, r) })
	}
	t.after(func() { r.everyTick(ctx, func(tick contract.Event) { r.decideFact(ctx, t, tick) }) })
	t.after(func() { r.consume(ctx, t) })
	t.after(func() { r.keepBook(ctx, b) })
	err = g.Wait()
	r.closeBook(ctx, b)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("leading: %w", err)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
