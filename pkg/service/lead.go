package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
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
	g, ctx := errgroup.WithContext(ctx)
	workers := make([]chan task, r.c.Workers)
	for i := range workers {
		workers[i] = make(chan task, workerQueue)
		g.Go(func() error { r.work(ctx, workers[i]); return nil })
	}
	r.workers.Store(&workers)
	for _, l := range r.s.Lead {
		g.Go(func() error { return l(ctx, r) })
	}
	g.Go(func() error {
		r.everyTick(ctx, func(tick contract.Event) { r.decideFact(ctx, tick) })
		return nil
	})
	g.Go(func() error { return r.consume(ctx) })
	g.Go(func() error { r.keepInProgress(ctx); return nil })
	err := g.Wait()
	r.handBack(workers)
	if ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, jetstream.ErrConsumerDeleted)) {
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
