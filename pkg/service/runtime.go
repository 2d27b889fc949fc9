package service

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/eventlog"
	"github.com/dagyo/dagyo/pkg/history"
	"github.com/dagyo/dagyo/pkg/joblog"
	"github.com/dagyo/dagyo/pkg/metrics"
	"github.com/dagyo/dagyo/pkg/service/core"
	"github.com/dagyo/dagyo/pkg/snapshot"
)

// A Runtime is a running replica of a service: the core, and the I/O around it. Every input goes through step.
type Runtime[S any] struct {
	service Service[S]
	config  Config
	link    *broker.Link
	events  eventlog.Log
	log     zerolog.Logger

	mu    sync.RWMutex // guards the fields down to changed
	core  *core.Core[S]
	clock clock
	term  *term
	// recent are the spans that the leader may not have sent; there are none while this replica leads.
	recent recent
	// changed is closed by the next step; nil while nothing waits for it.
	changed chan struct{}

	// current is closed once the state includes what EVENTS held at the start.
	current chan struct{}
	// restored is the snapshot from which this replica started.
	restored snapshot.Description
	bytes    atomic.Int64 // of the messages folded
	// behind counts the questions that wait for an event.
	behind   atomic.Int32
	metrics  metrics.Meter
	measured measured
	// snapshots counts the written ones, encoding the microseconds spent encoding states.
	snapshots, encoding atomic.Int64
}

// A term is a period in which this replica leads.
type term struct {
	ctx   context.Context
	lease *broker.Lease
	tasks sync.WaitGroup
}

func (r *Runtime[S]) run(ctx context.Context) error {
	defer r.metrics.Register(r.measure)()
	if err := r.prepare(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.follow(ctx) })
	g.Go(func() error { r.watchGaps(ctx); return nil })
	g.Go(func() error {
		select {
		case <-r.current:
		case <-ctx.Done():
			return nil
		}
		for _, observe := range r.service.Observe {
			g.Go(func() error { return observe(ctx, r) })
		}
		g.Go(func() error { return r.serveAsks(ctx) })
		return r.lead(ctx)
	})
	return g.Wait()
}

// prepare creates the shared streams, and restores the state. It waits for a broker that is not ready, such as a cluster
// without a leader.
func (r *Runtime[S]) prepare(ctx context.Context) error {
	c := r.config
	patience := leastRestore
	for pause := time.Second; ; pause = min(2*pause, longestPause) {
		err := broker.Ensure(ctx, r.link, c.Broker, history.StreamConfig(c.Broker.Replicas, c.History),
			snapshot.StreamConfig(c.Broker.Replicas), joblog.StreamConfig(c.Broker.Replicas, c.Logs))
		if err == nil {
			err = r.link.Unbroken(ctx, func(ctx context.Context) error { return r.restore(ctx, patience) })
		}
		if err == nil || !broker.Transient(err) || ctx.Err() != nil {
			return err
		}
		r.log.Warn().Err(err).Msg("JetStream is not ready; trying again")
		if errors.Is(err, context.DeadlineExceeded) {
			patience = min(2*patience, mostRestore)
		}
		sleep(ctx, pause, nil)
	}
}

// longestPause is the longest pause before the next attempt to create the shared streams.
const longestPause = 15 * time.Second

// step changes the core and starts the resulting tasks.
func (r *Runtime[S]) step(f func(*core.Core[S])) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r.core)
	for _, task := range r.core.Tasks() {
		term := r.term
		term.tasks.Go(func() { r.carryOut(term, task) })
	}
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// watch returns a channel that the next step closes. The caller must hold the lock.
func (r *Runtime[S]) watch() <-chan struct{} {
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return r.changed
}

// view calls f with the core; f must not change it.
func (r *Runtime[S]) view(f func(*core.Core[S])) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	f(r.core)
}

// Link returns the service's connection.
func (r *Runtime[S]) Link() *broker.Link { return r.link }

// Log returns the service's logger, for background work.
func (r *Runtime[S]) Log() *zerolog.Logger { return &r.log }

// Meter measures for the service's tenant.
func (r *Runtime[S]) Meter() metrics.Meter { return r.metrics }

// Read calls f with the state; f must neither change nor retain it. The state may be behind EVENTS: call Sync before
// removing something or declaring it lost.
func (r *Runtime[S]) Read(f func(S)) { r.view(func(c *core.Core[S]) { f(c.State) }) }

// Message reads one message of EVENTS, including data by reference. It returns nil if EVENTS no longer holds the
// message.
func (r *Runtime[S]) Message(ctx context.Context, seq uint64) (*event.Stored, error) {
	m, _, err := r.events.Read(ctx, seq)
	return m, err
}

// Fold folds a fact, an observation that is not an event of EVENTS. It sets its Time to the estimated time of the
// broker.
func (r *Runtime[S]) Fold(fact contract.Event) {
	r.step(func(c *core.Core[S]) {
		fact.Time = r.clock.estimate(time.Now())
		c.Observe(fact)
	})
}

// Publish publishes something that was observed outside of EVENTS. decide is pure: it returns the events that are still
// to be published in this state. Publish returns when decide returns none, or with the error that prevents it.
func (r *Runtime[S]) Publish(ctx context.Context, decide func(S) []contract.Event) error {
	done := make(chan error, 1)
	o := &core.Observation[S]{Decide: decide, Done: func(err error) { done <- err }}
	r.step(func(c *core.Core[S]) { c.Publish(o) })
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		r.step(func(c *core.Core[S]) { c.Withdraw(o) })
		return ctx.Err()
	}
}

// follow folds EVENTS, in order, while the service runs.
func (r *Runtime[S]) follow(ctx context.Context) error {
	return broker.Follower{
		JS: r.link.JS, Stream: contract.StreamEvents, From: r.core.Last.Seq + 1, Whole: true,
		Name:     r.service.Name,
		Metadata: map[string]string{broker.MetadataService: r.service.Name},
		Handle:   func(m *nats.Msg, meta *nats.MsgMetadata) { r.receive(ctx, m, meta) },
		CaughtUp: sync.OnceFunc(func() { close(r.current) }),
		Interrupted: func(err error) {
			if ctx.Err() == nil {
				r.log.Warn().Err(err).Msg("cannot follow events; trying again")
			}
		},
	}.Run(ctx)
}

// receive decodes and folds the next message.
func (r *Runtime[S]) receive(ctx context.Context, msg *nats.Msg, meta *nats.MsgMetadata) {
	began := time.Now()
	m := r.events.Receive(ctx, msg, meta, r.core.Reads)
	if ctx.Err() != nil {
		return
	}
	r.bytes.Add(int64(m.Size))
	defer func() { r.measured.fold(meta.NumPending, time.Since(began)) }()
	r.step(func(c *core.Core[S]) {
		now, tick := time.Now(), m.Type == contract.TypeTick
		if tick {
			r.noteGap(now) // before silence is evaluated
		}
		r.clock.note(m.At, now, tick && m.Event.Subject == r.service.Name)
		r.export(m)
		c.Fold(m)
	})
}
