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
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/service/core"
)

// lead competes for the service's lease, and decides for as long as it holds it.
//
// One replica decides at a time: the broker refuses what a second one publishes, but executors would be started
// twice. The others follow: their state is as current, so they take over at once.
func (r *Runtime[S]) lead(ctx context.Context) error {
	lease := broker.NewLease(r.link.JS, r.service.Name)
	for ctx.Err() == nil {
		held, release, err := lease.Acquire(ctx)
		if err != nil {
			return err
		}
		err = r.leadUntilLost(held, lease)
		release()
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			r.log.Warn().Err(err).Msg("no longer leading")
			sleep(ctx, time.Second, nil)
		}
	}
	return nil
}

func (r *Runtime[S]) leadUntilLost(ctx context.Context, lease *broker.Lease) error {
	if r.service.BeginLeading == nil {
		return r.serveTerm(ctx, lease)
	}
	end, err := r.service.BeginLeading(ctx)
	if err != nil {
		return fmt.Errorf("begin to lead: %w", err)
	}
	return errors.Join(r.serveTerm(ctx, lease), end())
}

// serveTerm leads until the lease is lost. It begins with all that the last leader has published, and with the
// broker's time.
func (r *Runtime[S]) serveTerm(ctx context.Context, lease *broker.Lease) error {
	if err := r.Sync(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	t := &term{ctx: ctx, lease: lease}
	r.step(func(c *core.Core[S]) { r.term = t; c.Lead(true) })
	r.log.Info().Uint64("events", r.folded()).Msg("leading")
	for _, lead := range r.service.Lead {
		g.Go(func() error { return lead(ctx, r) })
	}
	g.Go(func() error { r.keepTime(ctx); return nil })
	g.Go(func() error { r.writeSnapshots(ctx, lease); return nil })
	err := g.Wait()
	r.step(func(c *core.Core[S]) { c.Lead(false) })
	t.tasks.Wait()
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("leading: %w", err)
	}
	return nil
}

// carryOut carries out a task and reports its result to the core.
func (r *Runtime[S]) carryOut(t *term, task *core.Task) {
	if task.Pause > 0 {
		r.stats.Retries.Add(1)
		sleep(t.ctx, task.Pause, nil)
	}
	result := core.Worker{
		Service: r.service.Name, Log: r.events, Held: t.lease.Held,
		Perform: r.perform, Read: r.readUnprocessed,
		LastOf: func(aggregate string) (seq uint64) {
			r.view(func(c *core.Core[S]) { seq = c.LastOf(aggregate) })
			return seq
		},
	}.Do(t.ctx, task)
	r.stats.Effects.Add(int64(len(result.Effects)))
	if t.ctx.Err() != nil || errors.Is(result.Err, core.ErrFenced) {
		return // the next leader decides about it
	}
	if result.Err != nil && (!r.link.IsConnected() || broker.Full(result.Err)) {
		result.Err = errors.Join(core.ErrUnavailable, result.Err)
	}
	r.step(func(c *core.Core[S]) { c.Finish(result) })
}

func (r *Runtime[S]) perform(ctx context.Context, e contract.Event) (contract.Event, error) {
	if r.service.Perform == nil {
		return e, nil
	}
	return r.service.Perform(ctx, r, e)
}

// readUnprocessed reads a message that is about to be answered.
func (r *Runtime[S]) readUnprocessed(ctx context.Context, seq uint64) (*event.Stored, []byte, error) {
	m, body, err := r.events.Read(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil, nil
	}
	if err == nil {
		r.stats.Refused.Add(1)
	}
	return m, body, err
}

func (r *Runtime[S]) folded() (seq uint64) {
	r.view(func(c *core.Core[S]) { seq = c.Last.Seq })
	return seq
}
