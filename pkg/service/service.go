package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/eventlog"
	"github.com/dagyo/dagyo/pkg/history"
	"github.com/dagyo/dagyo/pkg/joblog"
	"github.com/dagyo/dagyo/pkg/metrics"
	"github.com/dagyo/dagyo/pkg/service/core"
	"github.com/dagyo/dagyo/pkg/trace"
)

// A Service contains everything specific to one service: its Logic, which is pure, and its I/O.
type Service[S any] struct {
	core.Logic[S]
	// New returns the initial state, for a start without a snapshot.
	New func(context.Context) (S, error)
	// Perform performs an effect before it is published, and returns the event to publish. It must be idempotent, and
	// is called concurrently.
	Perform func(context.Context, *Runtime[S], contract.Event) (contract.Event, error)
	// Asks answers requests, by subject.
	Asks map[string]Ask[S]
	// Count counts what an event means that is about to be folded into the state. Only the leader calls it, so that each
	// event counts once. It may be nil.
	Count func(metrics.Meter, S, contract.Event)
	// Trace returns the spans that end with an event which is about to be folded into the state. The leader exports them, so
	// that each is exported once; other replicas keep them for a moment. It may be nil.
	Trace func(S, contract.Event) []trace.Span
	// Gauges returns what is measured of the state, at the estimated time of the broker. Only the leader calls it. It may be
	// nil.
	Gauges func(s S, now time.Time, observe metrics.Observe)
	// Observe is I/O of every replica: it passes facts to Runtime.Fold. Each function starts once the state is
	// current, and returns when its context ends.
	Observe []func(context.Context, *Runtime[S]) error
	// MayLead waits until this replica may lead at all. The returned context ends when it no longer may; release is called
	// then. nil if it always may.
	MayLead func(context.Context) (allowed context.Context, release func(), err error)
	// BeginLeading prepares what only the leader needs, before it decides anything; end is called after the term. It
	// may be nil.
	BeginLeading func(context.Context) (end func() error, err error)
	// Lead is I/O of the leader only, such as reconcilers.
	Lead []func(context.Context, *Runtime[S]) error
}

// Config is the configuration that all services share.
type Config struct {
	// Limits bound the work of a leader.
	core.Limits
	// Broker configures the shared streams.
	Broker broker.Config
	// History limits what is kept of ended flows.
	History history.Limits
	// Logs limits what is kept of what jobs log.
	Logs joblog.Limits
	Log  zerolog.Logger
	// Metrics is of the service's tenant; the zero Meter if nothing is measured.
	Metrics metrics.Meter `json:"-"`
	// Traces is of the service's tenant; the zero Tracer if nothing is traced.
	Traces trace.Tracer `json:"-"`
}

// LogErrors is an option of connections: it logs what NATS reports outside of any call, such as messages that were dropped
// because their subscriber is slow, and refused subjects.
func LogErrors(log zerolog.Logger) nats.Option {
	return nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
		e := log.Warn().Err(err)
		if sub != nil {
			e = e.Str("subject", sub.Subject)
		}
		e.Msg("NATS reports an error")
	})
}

// DefaultConfig suits a single server.
func DefaultConfig() Config {
	return Config{
		Limits: core.Limits{Workers: 64, MaxAttempts: 12},
		Broker: broker.DefaultConfig(), History: history.DefaultLimits(), Logs: joblog.DefaultLimits(), Log: zerolog.Nop(),
	}
}

// Validate reports every error in the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.Workers < 1 {
		errs = append(errs, fmt.Errorf("workers: %d is less than 1", c.Workers))
	}
	if c.MaxAttempts < 1 {
		errs = append(errs, fmt.Errorf("max attempts: %d is less than 1", c.MaxAttempts))
	}
	return errors.Join(append(errs, c.Broker.Validate(), c.History.Validate(), c.Logs.Validate())...)
}

// Run serves until the context ends, and returns nil then.
func Run[S any](ctx context.Context, link *broker.Link, s Service[S], c Config) error {
	if err := c.Validate(); err != nil {
		return fmt.Errorf("%s: %w", s.Name, err)
	}
	log := c.Log.With().Str("service", s.Name).Logger()
	for {
		r := &Runtime[S]{
			service: s, config: c, link: link, log: log,
			events:  eventlog.New(link, s.Name, log),
			current: make(chan struct{}),
			metrics: c.Metrics.OfService(s.Name),
		}
		err := r.run(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, broker.ErrRewound):
			log.Error().Err(err).Msg("EVENTS has changed; starting again from its current content")
		case errors.Is(err, broker.ErrCut):
			log.Warn().Err(err).Msg("this replica was away for too long; starting again from a snapshot")
		default:
			return fmt.Errorf("%s: %w", s.Name, err)
		}
	}
}
