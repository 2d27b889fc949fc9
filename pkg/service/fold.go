package service

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
)

// fold reads EVENTS from its beginning, in order, for as long as the service runs.
func (r *Runtime[S]) fold(ctx context.Context) error {
	return broker.Follower{
		JS: r.link.JS, Stream: contract.StreamEvents,
		Filters:  patterns(slices.Sorted(maps.Keys(r.wanted()))),
		Handle:   func(m jetstream.Msg, meta *jetstream.MsgMetadata) { r.foldOne(ctx, m, meta) },
		CaughtUp: func() { r.current.Store(true); r.cursor.caughtUp() },
		Interrupted: func(err error) {
			r.current.Store(false)
			if ctx.Err() == nil {
				r.log.Warn().Err(err).Msg("cannot follow events; trying again")
			}
		},
	}.Run(ctx)
}

func (r *Runtime[S]) foldOne(ctx context.Context, m jetstream.Msg, meta *jetstream.MsgMetadata) {
	d, err := r.decode(ctx, m, meta)
	if err != nil {
		return // the service ends
	}
	if r.folds[d.kind()] && len(d.problems) == 0 {
		r.evolve(d.event)
	}
	r.tail.add(d, r.answers[d.kind()])
	r.cursor.advance(d.seq)
}

// wanted are the types of which anything is made here.
func (r *Runtime[S]) wanted() map[contract.Type]bool {
	all := maps.Clone(r.folds)
	maps.Copy(all, r.answers)
	return all
}

func (r *Runtime[S]) folded() uint64 { return r.cursor.position() }

func (r *Runtime[S]) awaitCurrent(ctx context.Context) error { return r.cursor.awaitCaughtUp(ctx) }

func patterns(types []contract.Type) []string {
	out := make([]string, 0, len(types))
	for _, t := range types {
		if entry, ok := contract.Lookup(t); ok {
			out = append(out, entry.Pattern())
		}
	}
	return out
}

// A cursor is how far the fold has come; others wait for it.
type cursor struct {
	mu      *sync.Mutex
	seq     uint64
	moved   chan struct{} // closed at the next move; nil while nobody waits
	current chan struct{} // closed once the fold has caught up
	once    *sync.Once
}

func newCursor() cursor {
	return cursor{mu: new(sync.Mutex), once: new(sync.Once), current: make(chan struct{})}
}

func (c *cursor) caughtUp() { c.once.Do(func() { close(c.current) }) }

func (c *cursor) advance(seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seq = seq
	if c.moved != nil {
		close(c.moved)
		c.moved = nil
	}
}

// watch returns where the fold is, and what is closed when it moves on.
func (c *cursor) watch() (seq uint64, moved <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.moved == nil {
		c.moved = make(chan struct{})
	}
	return c.seq, c.moved
}

func (c *cursor) position() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seq
}

func (c *cursor) awaitCaughtUp(ctx context.Context) error {
	select {
	case <-c.current:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// await returns when the fold has reached seq.
func (c *cursor) await(ctx context.Context, seq uint64, limit time.Duration) error {
	if c.position() >= seq {
		return nil
	}
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		seen, moved := c.watch()
		if seen >= seq {
			return nil
		}
		select {
		case <-moved:
		case <-deadline.C:
			return fmt.Errorf("the state has folded events up to %d, not yet %d", seen, seq)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
