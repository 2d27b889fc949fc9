package service

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
)

// fold reads EVENTS from its beginning, in order, for as long as the service runs.
func (r *Runtime[S]) fold(ctx context.Context) error {
	return broker.Follower{
		JS: r.link.JS, Stream: contract.StreamEvents,
		Filters:  patterns(slices.Concat(r.s.Causes, r.s.Folds)),
		Handle:   r.foldOne,
		CaughtUp: func() { r.current.Store(true); r.cursor.caughtUp() },
		Interrupted: func(err error) {
			r.current.Store(false)
			if ctx.Err() == nil {
				r.log.Warn().Err(err).Msg("cannot follow events; trying again")
			}
		},
	}.Run(ctx)
}

func (r *Runtime[S]) foldOne(m jetstream.Msg, meta *jetstream.MsgMetadata) {
	e, err := event.Decode(m.Subject(), m.Headers(), m.Data())
	if err == nil {
		e.Seq = meta.Sequence.Stream
		if e.Time.IsZero() {
			e.Time = meta.Timestamp
		}
		r.evolve(e)
	}
	r.cursor.advance(meta.Sequence.Stream)
}

func (r *Runtime[S]) folded() uint64 { return r.cursor.position() }

func (r *Runtime[S]) awaitCurrent(ctx context.Context) error { return r.cursor.awaitCaughtUp(ctx) }

func patterns(types []contract.Type) []string {
	seen := make(map[contract.Type]bool)
	var out []string
	for _, t := range types {
		if entry, ok := contract.Lookup(t); ok && !seen[t] {
			seen[t] = true
			out = append(out, entry.Pattern())
		}
	}
	return out
}

// A cursor is how far the fold has come; others wait for it.
type cursor struct {
	mu      *sync.Mutex
	seq     uint64
	moved   chan struct{} // closed and replaced at each move
	current chan struct{} // closed once the fold has caught up
	once    *sync.Once
}

func newCursor() cursor {
	return cursor{
		mu: new(sync.Mutex), once: new(sync.Once),
		moved: make(chan struct{}), current: make(chan struct{}),
	}
}

func (c *cursor) caughtUp() { c.once.Do(func() { close(c.current) }) }

func (c *cursor) advance(seq uint64) {
	c.mu.Lock()
	c.seq = seq
	close(c.moved)
	c.moved = make(chan struct{})
	c.mu.Unlock()
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
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		seen, moved := c.seq, c.moved
		c.mu.Unlock()
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
