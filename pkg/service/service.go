package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/history"
	"github.com/dagyo/dagyo/pkg/problem"
)

// Facts that the shell itself folds. A fact is an event that stays in the process.
const (
	// FactDeaf says that the process could not hear anything for the duration in With: it was paused, starved
	// or disconnected.
	FactDeaf contract.Type = "fact.deaf"
)

// A Service is what makes one service different from another. S is a pointer to its state.
//
// Evolve, Decide and Open are pure: no context, I/O, clock, log or random number. Evolve changes the
// state in place, the others only read it. They are called one at a time. None of them changes an event.
type Service[S any] struct {
	// Name is the micro service's name.
	Name string
	// Folds are the types of events that Evolve gets.
	Folds []contract.Type
	// Answers are the types whose unreadable messages this service answers; each type has one service that does.
	Answers []contract.Type
	// New makes the state that events are folded into where there is no snapshot.
	New func(context.Context, *broker.Link) (S, error)
	// Evolve folds an event or fact, and returns the keys of what it changes: what is to be decided anew. The
	// event's Time is the broker's. Acts are folded when they are done.
	Evolve func(S, contract.Event) (keys []string)
	// Decide returns the effects that the state asks for under a key, in order; none where all is as it should
	// be. It is asked until that is so, and again at the time that it returns, if that is not zero. now is a
	// moment up to which the state knows all that EVENTS holds. An effect whose type is not in contract.Table is
	// an act: it is performed, folded, and not published.
	Decide func(s S, key string, now time.Time) (effects []contract.Event, next time.Time)
	// Open returns the keys of all that is not finished, for a replica that begins to lead.
	Open func(S) []string
	// Perform makes an effect true before it is published, and returns it as it is to be published. It is
	// idempotent, and called concurrently. May be nil.
	Perform func(context.Context, Host[S], contract.Event) (contract.Event, error)
	// Snapshot is how the state is stored.
	Snapshot Snapshot[S]
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

// A Snapshot is how a state is stored, with the place in EVENTS up to which it is folded.
type Snapshot[S any] struct {
	// Version changes with the form: a snapshot of another version is not read.
	Version int
	// Encode returns the state, less facts and what New reads elsewhere.
	Encode func(S) ([]byte, error)
	// Decode takes a stored state into one that New has made.
	Decode func(S, []byte) error
	// Needs returns the first message of EVENTS that the state refers to, 0 where it refers to none. May be nil.
	Needs func(S) uint64
}

// A Host is what performing an effect may need of the running service.
type Host[S any] interface {
	// Read calls f with the state, which f must neither change nor keep.
	Read(f func(S))
	// Event reads one event of EVENTS again, with the data that it may refer to. The problems say why the message
	// is not an event.
	Event(ctx context.Context, seq uint64) (contract.Event, problem.List, error)
	// Sync returns when the state knows all that EVENTS held when Sync was called.
	Sync(ctx context.Context) error
	// At returns the time up to which the state knows all that EVENTS holds.
	At() time.Time
}

// An Ask answers one kind of request from the state. It only reads the state, unless its answer is a Later.
type Ask[S any] func(S, []byte) (any, error)

// A Later is an answer that takes I/O: it is called without the state.
type Later func(context.Context) (any, error)

// Config is how a service runs; the same for all of them.
type Config struct {
	// Workers is how many effects are under way at the same time.
	Workers int
	// MaxAttempts bounds how often an effect with a passing error is tried.
	MaxAttempts int
	// Broker is how the shared streams are kept.
	Broker broker.Config
	// History bounds what is kept of flows that have ended.
	History history.Limits
	Log     zerolog.Logger
}

// DefaultConfig suits a single server.
func DefaultConfig() Config {
	return Config{
		Workers: 64, MaxAttempts: 12, Broker: broker.DefaultConfig(), History: history.DefaultLimits(),
		Log: zerolog.Nop(),
	}
}

// Validate reports everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.Workers < 1 {
		errs = append(errs, fmt.Errorf("workers: %d is less than 1", c.Workers))
	}
	if c.MaxAttempts < 1 {
		errs = append(errs, fmt.Errorf("max attempts: %d is less than 1", c.MaxAttempts))
	}
	return errors.Join(append(errs, c.Broker.Validate(), c.History.Validate())...)
}

// A Permanent error does not pass by itself: it becomes a rejection that carries the problem.
type Permanent struct {
	Problem problem.Problem
}

func (p *Permanent) Error() string { return p.Problem.String() }

// Run serves until the context ends, and returns nil then.
func Run[S any](ctx context.Context, link *broker.Link, s Service[S], c Config) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	log := c.Log.With().Str("service", s.Name).Logger()
	for {
		err := serve(ctx, link, s, c, log)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, broker.ErrRewound):
			log.Error().Err(err).Msg("EVENTS is not what it was; starting again from what it holds")
		case errors.Is(err, broker.ErrCut):
			log.Warn().Err(err).Msg("this replica was away for too long; starting again from a snapshot")
		default:
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
}
