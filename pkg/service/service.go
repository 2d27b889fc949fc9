package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
)

// Tick is the type of the fact that the shell hands to Decide every Service.Tick. Facts are events
// that stay in the process.
const Tick contract.Type = "tick"

// A Service is what makes one service different from another.
//
// Evolve and Decide are pure: no context, I/O, clock, log or random number. Evolve may change the
// state in place and is never called concurrently; Decide only reads it, and may be called
// concurrently with itself. Neither changes the event, which others read at the same time.
type Service[S any] struct {
	// Name is the micro service's name, and that under which its place in EVENTS is kept.
	Name string
	// Causes are the types that Decide answers; every cause is also folded.
	Causes []contract.Type
	// Folds are the further types that Evolve cares about.
	Folds []contract.Type
	// Reads are the types that Runtime.Follow hands out.
	Reads []contract.Type
	// New makes the state that the events are folded into.
	New func(context.Context, *broker.Link) (S, error)
	// Evolve returns the state after the event or fact.
	Evolve func(S, contract.Event) S
	// Decide returns the effects of the event or fact on the state that has already folded it.
	Decide func(S, contract.Event, time.Time) ([]contract.Event, error)
	// Perform makes an effect true before it is published; idempotent, called concurrently for
	// different flows. What it needs beyond the payload is in Event.With. May be nil.
	Perform func(context.Context, contract.Event) error
	// Tick is the time between two Tick facts, which every replica folds and the leader decides
	// on; 0 for none.
	Tick time.Duration
	// Asks answers requests, by subject.
	Asks map[string]Ask[S]
	// Listen is I/O that every replica does: learning facts that are not in EVENTS. Each runs once the
	// state is current, and returns when its context ends.
	Listen []func(context.Context, *Runtime[S]) error
	// BeginLeading prepares what only the leader needs, before it decides anything; the function that it
	// returns is called when all of that has ended. May be nil.
	BeginLeading func(context.Context) (end func() error, err error)
	// Lead is I/O that only the leading replica does, such as reconcilers.
	Lead []func(context.Context, *Runtime[S]) error
}

// An Ask answers one kind of request from the state. It only reads the state.
type Ask[S any] func(S, []byte) (any, error)

// Config is how a service runs; the same for all of them.
type Config struct {
	// Workers is how many flows are handled at the same time.
	Workers int
	// FoldWait bounds the time until the state has folded what the service itself has said.
	FoldWait time.Duration
	// MaxAttempts bounds how often a cause with a passing error is tried.
	MaxAttempts int
	// Broker is how the shared streams are kept.
	Broker broker.Config
	Log    zerolog.Logger
}

// DefaultConfig suits a single server.
func DefaultConfig() Config {
	return Config{
		Workers: 8, FoldWait: 5 * time.Second, MaxAttempts: 12,
		Broker: broker.DefaultConfig(), Log: zerolog.Nop(),
	}
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.Workers < 1 {
		errs = append(errs, fmt.Errorf("workers: %d is less than 1", c.Workers))
	}
	if c.FoldWait < 100*time.Millisecond {
		errs = append(errs, fmt.Errorf("fold wait: %v is less than 100ms", c.FoldWait))
	}
	if c.MaxAttempts < 1 {
		errs = append(errs, fmt.Errorf("max attempts: %d is less than 1", c.MaxAttempts))
	}
	return errors.Join(errs...)
}

// A Permanent error does not pass by itself: it becomes a rejection that carries the problem.
type Permanent struct {
	Problem problem.Problem
}

func (p *Permanent) Error() string { return p.Problem.String() }

// Run serves until the context ends; then it hands back what it has not finished, and returns nil.
func Run[S any](ctx context.Context, link *broker.Link, s Service[S], c Config) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	if err := serve(ctx, link, s, c); err != nil && ctx.Err() == nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	return nil
}

func serve[S any](ctx context.Context, link *broker.Link, s Service[S], c Config) error {
	if err := broker.Ensure(ctx, link.JS, c.Broker); err != nil {
		return err
	}
	state, err := s.New(ctx, link)
	if err != nil {
		return fmt.Errorf("load state: %w", err)
	}
	return newRuntime(link, s, c, state).run(ctx)
}

func (r *Runtime[S]) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.fold(ctx) })
	g.Go(func() error {
		if err := r.awaitCurrent(ctx); err != nil {
			return err
		}
		if r.s.Tick > 0 { // nothing is decided by a state that does not know the time
			r.evolve(contract.Event{Type: Tick, Time: time.Now()})
		}
		for _, l := range r.s.Listen {
			g.Go(func() error { return l(ctx, r) })
		}
		g.Go(func() error { return r.answer(ctx) })
		g.Go(func() error { r.everyTick(ctx, r.evolve); return nil })
		return r.lead(ctx)
	})
	return g.Wait()
}
