package service

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service/core"
)

// lead competes for the service's lease, and decides while it holds it.
//
// One replica decides at a time: the broker rejects what a second one publishes, but executors would be started twice.
// The others follow with an equally current state, so they can take over at once.
func (r *Runtime[S]) lead(ctx context.Context) error {
	lease := broker.NewLease(r.link.JS, r.service.Name)
	for ctx.Err() == nil {
		err := r.leadOnce(ctx, lease)
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

// leadOnce waits until it may lead and holds the lease, and leads until it no longer does.
func (r *Runtime[S]) leadOnce(ctx context.Context, lease *broker.Lease) error {
	if may := r.service.MayLead; may != nil {
		allowed, yield, err := may(ctx)
		if err != nil {
			return err
		}
		defer yield()
		ctx = allowed
	}
	held, release, err := lease.Acquire(ctx)
	if err != nil {
		return err
	}
	defer release()
	return r.leadUntilLost(held, lease)
}

// leadUntilLost leads until the lease is lost. It first catches up with everything that the last leader has published,
// and with the broker's time.
func (r *Runtime[S]) leadUntilLost(ctx context.Context, lease *broker.Lease) (err error) {
	if begin := r.service.BeginLeading; begin != nil {
		end, failed := begin(ctx)
		if failed != nil {
			return fmt.Errorf("begin leading: %w", failed)
		}
		defer func() { err = errors.Join(err, end()) }()
	}
	if err := r.Sync(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	t := &term{ctx: ctx, lease: lease}
	r.step(func(c *core.Core[S]) { r.term = t; c.Lead(true); r.traceRest(c, lease) })
	r.log.Info().Uint64("events", r.folded()).Msg("leading")
	for _, lead := range r.service.Lead {
		g.Go(func() error { return lead(ctx, r) })
	}
	g.Go(func() error { r.keepTime(ctx); return nil })
	g.Go(func() error { r.writeSnapshots(ctx, lease); return nil })
	err = g.Wait()
	r.step(func(c *core.Core[S]) { c.Lead(false) })
	t.tasks.Wait()
	if err == nil || errors.Is(err, context.Canceled) {
		return nil
	}
	return fmt.Errorf("leading: %w", err)
}

// carryOut carries out a task and reports its result to the core.
func (r *Runtime[S]) carryOut(t *term, task *core.Task) {
	if task.Pause > 0 {
		sleep(t.ctx, task.Pause, nil)
	}
	result := core.Worker{
		Service: r.service.Name, Log: r.events, Held: t.lease.Held, Read: r.events.Read,
		Perform: func(ctx context.Context, e contract.Event) (contract.Event, error) {
			return r.service.Perform(ctx, r, e)
		},
		Each: atOnce,
		LastOf: func(aggregate string) (seq uint64) {
			r.view(func(c *core.Core[S]) { seq = c.LastOf(aggregate) })
			return seq
		},
	}.Do(t.ctx, task)
	if t.ctx.Err() != nil {
		return // the next leader decides it
	}
	result.Err = passing(result.Err, r.link.IsConnected())
	r.step(func(c *core.Core[S]) { c.Finish(result) })
}

// atOnce calls do for 0 to n-1 at the same time.
func atOnce(n int, do func(i int)) {
	var calls sync.WaitGroup
	for i := range n {
		calls.Go(func() { do(i) })
	}
	calls.Wait()
}

// passing marks errors that the effect did not cause: the connection was lost, the broker is full, or the lease had
// expired. The term continues if the lease was only renewed late; fenced effects are then attempted again.
func passing(err error, connected bool) error {
	if err != nil && (!connected || broker.Full(err) || errors.Is(err, core.ErrFenced)) {
		return errors.Join(core.ErrUnavailable, err)
	}
	return err
}

func (r *Runtime[S]) folded() (seq uint64) {
	r.view(func(c *core.Core[S]) { seq = c.Last.Seq })
	return seq
}
