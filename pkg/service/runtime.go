package service

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/history"
	"github.com/dagyo/dagyo/pkg/snapshot"
)

// A Runtime is a running service: the core, and the I/O around it. Every input goes through step.
type Runtime[S any] struct {
	link *broker.Link
	s    Service[S]
	log  zerolog.Logger

	mu    sync.RWMutex // guards all down to term
	core  *core[S]
	clock clock
	term  *term
	// moved is closed when the core has folded or scheduled something; nil while nobody waits.
	moved chan struct{}

	current  atomic.Bool // nothing that is in EVENTS is known to be unfolded
	caughtUp chan struct{}
	once     sync.Once
	bytes    atomic.Int64 // of the messages folded
	restored place        // where the snapshot that it started from was taken
	stats    stats
}

// A term is the time for which this replica leads.
type term struct {
	ctx     context.Context
	lease   *broker.Lease
	flights sync.WaitGroup
}

// stats are shown by `nats micro stats`.
type stats struct {
	Effects, Retries, Refused, Unreadable, Snapshots atomic.Int64
	// Snapshotting is the time in which states were encoded, in microseconds.
	Snapshotting atomic.Int64
}

func serve[S any](ctx context.Context, link *broker.Link, s Service[S], c Config, log zerolog.Logger) error {
	if err := ensure(ctx, link, c, log); err != nil {
		return err
	}
	state, err := s.New(ctx, link)
	if err != nil {
		return err
	}
	r := &Runtime[S]{
		link: link, s: s, log: log, core: newCore(s, c, state), caughtUp: make(chan struct{}),
	}
	r.core.alarm = func(what string) { r.log.Warn().Msg(what) }
	if err := r.restore(ctx); err != nil {
		return err
	}
	return r.run(ctx)
}

// ensurePause is between two tries to make the shared streams.
const ensurePause = time.Second

// ensure makes the shared streams. A broker that cannot yet, such as a cluster without a leader, is waited for.
func ensure(ctx context.Context, link *broker.Link, c Config, log zerolog.Logger) error {
	for {
		err := broker.Ensure(ctx, link.JS, c.Broker, history.StreamConfig(c.Broker.Replicas, c.History),
			snapshot.StreamConfig(c.Broker.Replicas))
		if err == nil || !broker.Transient(err) || ctx.Err() != nil {
			return err
		}
		log.Warn().Err(err).Msg("JetStream is not ready; trying again")
		pause(ctx, ensurePause)
	}
}

func (r *Runtime[S]) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.follow(ctx) })
	g.Go(func() error { r.listen(ctx); return nil })
	g.Go(func() error {
		select {
		case <-r.caughtUp:
		case <-ctx.Done():
			return nil
		}
		for _, l := range r.s.Listen {
			g.Go(func() error { return l(ctx, r) })
		}
		g.Go(func() error { return r.answer(ctx) })
		return r.lead(ctx)
	})
	return g.Wait()
}

// step changes the core and begins what follows from that.
func (r *Runtime[S]) step(f func(*core[S])) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(r.core)
	for _, f := range r.core.take() {
		r.term.flights.Go(func() { r.fly(r.term, f) })
	}
	if r.moved != nil {
		close(r.moved)
		r.moved = nil
	}
}

// watch returns what is closed at the next step. The caller holds the lock.
func (r *Runtime[S]) watch() <-chan struct{} {
	if r.moved == nil {
		r.moved = make(chan struct{})
	}
	return r.moved
}

// Link returns the service's connection.
func (r *Runtime[S]) Link() *broker.Link { return r.link }

// Log returns the service's logger, for background work.
func (r *Runtime[S]) Log() *zerolog.Logger { return &r.log }

// Read calls f with the state, which f must neither change nor keep. It may be behind EVENTS: what is to be
// removed or declared lost is judged after a Sync.
func (r *Runtime[S]) Read(f func(S)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	f(r.core.state)
}

// At returns the time up to which the state knows all that EVENTS holds.
func (r *Runtime[S]) At() time.Time {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.core.now
}

// Known returns the broker's time by our estimate.
func (r *Runtime[S]) Known() time.Time {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.clock.now(time.Now())
}

// Fold folds a fact: what was learnt outside of EVENTS. Its Time becomes the broker's, by our estimate.
func (r *Runtime[S]) Fold(fact contract.Event) {
	r.step(func(c *core[S]) {
		fact.Time = r.clock.now(time.Now())
		c.fact(fact)
	})
}

// Say publishes what was observed outside of EVENTS. decide is pure: it returns the events that are still to
// be published, given the state; none once they are. Say returns when there are none, or with the error that
// prevents it.
func (r *Runtime[S]) Say(ctx context.Context, decide func(S) []contract.Event) error {
	s := &say[S]{decide: decide, done: make(chan error, 1)}
	r.step(func(c *core[S]) { c.say(s) })
	select {
	case err := <-s.done:
		return err
	case <-ctx.Done():
		r.step(func(c *core[S]) { c.forget(s) })
		return ctx.Err()
	}
}

// Sync returns when the state knows all that EVENTS held when Sync was called.
func (r *Runtime[S]) Sync(ctx context.Context) error {
	seq, err := r.tick(ctx)
	if broker.Full(err) { // what is there can be known all the same, and must be to make room
		seq, err = r.end(ctx)
	}
	if err != nil {
		return err
	}
	return r.await(ctx, seq)
}

// end returns the place of the last event.
func (r *Runtime[S]) end(ctx context.Context) (uint64, error) {
	events, err := r.link.JS.Stream(ctx, contract.StreamEvents)
	if err != nil {
		return 0, err
	}
	return events.CachedInfo().State.LastSeq, nil
}

// await returns when the message is folded.
func (r *Runtime[S]) await(ctx context.Context, seq uint64) error {
	for {
		r.mu.Lock()
		reached, moved := r.core.at.Seq >= seq, r.watch()
		r.mu.Unlock()
		if reached {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// follow folds EVENTS, in order, for as long as the service runs.
func (r *Runtime[S]) follow(ctx context.Context) error {
	return broker.Follower{
		JS: r.link.JS, Stream: contract.StreamEvents, From: r.core.at.Seq + 1,
		Whole:    true,
		Name:     r.s.Name,
		Metadata: map[string]string{broker.MetadataService: r.s.Name},
		Handle:   func(m jetstream.Msg, meta *jetstream.MsgMetadata) { r.take(ctx, m, meta) },
		CaughtUp: func() { r.current.Store(true); r.once.Do(func() { close(r.caughtUp) }) },
		Interrupted: func(err error) {
			r.current.Store(false)
			if ctx.Err() == nil {
				r.log.Warn().Err(err).Msg("cannot follow events; trying again")
			}
		},
	}.Run(ctx)
}

func (r *Runtime[S]) take(ctx context.Context, m jetstream.Msg, meta *jetstream.MsgMetadata) {
	msg := r.read(ctx, m.Subject(), m.Headers(), m.Data())
	if ctx.Err() != nil {
		return
	}
	msg.place = place{Seq: meta.Sequence.Stream, At: meta.Timestamp}
	msg.event.Seq = msg.Seq
	r.bytes.Add(sizeOf(m))
	if len(msg.problems) > 0 {
		r.stats.Unreadable.Add(1)
	}
	r.step(func(c *core[S]) {
		if msg.kind == contract.TypeTick {
			r.hear(time.Now()) // before it is judged who was silent
		}
		r.clock.note(msg.At, time.Now(), msg.kind == contract.TypeTick && msg.event.Subject == r.s.Name)
		c.fold(msg)
	})
}

// sizeOf is about what a message takes in EVENTS.
func sizeOf(m jetstream.Msg) int64 {
	n := len(m.Subject()) + len(m.Data())
	for key, values := range m.Headers() {
		for _, v := range values {
			n += len(key) + len(v)
		}
	}
	return int64(n)
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

var errDisconnected = errors.New("NATS is not there, or full")
