package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/pkg/broker"
)

// lead competes for the service's lease, and decides for as long as it holds it.
//
// One replica decides at a time: the broker refuses what a second one publishes, but executors would be started
// twice. The others follow: their state is as current, so they take over at once.
func (r *Runtime[S]) lead(ctx context.Context) error {
	lease := broker.NewLease(r.link.JS, r.s.Name)
	for ctx.Err() == nil {
		held, release, err := lease.Acquire(ctx)
		if err != nil {
			return err
		}
		err = r.prepareAndLead(held, lease)
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

func (r *Runtime[S]) prepareAndLead(ctx context.Context, lease *broker.Lease) error {
	if r.s.BeginLeading == nil {
		return r.leading(ctx, lease)
	}
	end, err := r.s.BeginLeading(ctx)
	if err != nil {
		return fmt.Errorf("begin to lead: %w", err)
	}
	return errors.Join(r.leading(ctx, lease), end())
}

// leading does what only the leader does, until it no longer is. It first learns all that the last leader has
// published, and what time it is.
func (r *Runtime[S]) leading(ctx context.Context, lease *broker.Lease) error {
	if err := r.askTime(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	t := &term{ctx: ctx, lease: lease}
	r.step(func(c *core[S]) { r.term = t; c.lead(true) })
	r.log.Info().Uint64("events", r.folded()).Msg("leading")
	for _, l := range r.s.Lead {
		g.Go(func() error { return l(ctx, r) })
	}
	g.Go(func() error { r.keepTime(ctx); return nil })
	g.Go(func() error { r.keepSnapshots(ctx, lease); return nil })
	err := g.Wait()
	r.step(func(c *core[S]) { c.lead(false) })
	t.flights.Wait()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("leading: %w", err)
	}
	return nil
}

func (r *Runtime[S]) folded() uint64 {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.core.at.Seq
}
