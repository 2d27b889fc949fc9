package service

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
)

// A Runtime is a running service.
type Runtime[S any] struct {
	link *broker.Link
	s    Service[S]
	c    Config
	log  zerolog.Logger

	mu      sync.RWMutex // guards state
	state   S
	cursor  cursor
	tail    tail
	current atomic.Bool // nothing that is in EVENTS is known to be unfolded
	said    recent
	tries   tries
	// busy lets one cause of a flow be answered at a time.
	busy keyLock
	// folds are the types that Evolve gets, answers those that readers of the tail may want.
	folds, answers map[contract.Type]bool
	seed           maphash.Seed
	stats          stats
}

// stats are shown by `nats micro stats`.
type stats struct {
	Causes, Effects, Retries, Refused, Unreadable atomic.Int64
}

func newRuntime[S any](link *broker.Link, s Service[S], c Config, state S) *Runtime[S] {
	return &Runtime[S]{
		link: link, s: s, c: c, state: state, seed: maphash.MakeSeed(),
		log:    c.Log.With().Str("service", s.Name).Logger(),
		cursor: newCursor(), tail: newTail(),
		folds: setOf(slices.Concat(s.Causes, s.Folds)), answers: setOf(slices.Concat(s.Causes, s.Reads)),
	}
}

// Link returns the service's connection.
func (r *Runtime[S]) Link() *broker.Link { return r.link }

// Log returns the service's logger, for background work.
func (r *Runtime[S]) Log() *zerolog.Logger { return &r.log }

// Read calls f with the state, which f must neither change nor keep, if the state is current. It reports
// whether it was: what is to be removed or declared lost must not be judged by an old state.
func (r *Runtime[S]) Read(f func(S)) (current bool) {
	if !r.current.Load() {
		return false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	f(r.state)
	return true
}

// Say performs and publishes an event that follows from something learnt outside of EVENTS. It
// returns when the broker has it, or with the error that prevented that.
func (r *Runtime[S]) Say(ctx context.Context, e contract.Event) error {
	_, err := r.carryOut(ctx, []contract.Event{e}, none)
	return err
}

// Fold folds a fact without asking for its effects; the next Tick sees it.
func (r *Runtime[S]) Fold(fact contract.Event) { r.evolve(fact) }

func (r *Runtime[S]) evolve(e contract.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state = r.s.Evolve(r.state, e)
}

func (r *Runtime[S]) decide(e contract.Event) ([]contract.Event, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.s.Decide(r.state, e, time.Now())
}

func (r *Runtime[S]) decideFact(ctx context.Context, t *term, fact contract.Event) {
	effects, err := r.decide(fact)
	if err != nil {
		r.log.Error().Err(err).Str("fact", string(fact.Type)).Msg("cannot decide")
	}
	for _, group := range grouped(effects) {
		news := slices.ContainsFunc(group, func(e contract.Event) bool { return !r.said.knows(e.DedupID()) })
		if news && r.tries.due(group[0].DedupID(), time.Now()) {
			r.dispatch(ctx, t, group[len(group)-1].Subject, task{effects: group})
		}
	}
}

// grouped splits effects behind each one that is about a flow: what comes before it must be true before
// the flow is told. Those behind the last such effect stand alone.
func grouped(effects []contract.Event) (groups [][]contract.Event) {
	begin := 0
	for i, e := range effects {
		if e.Flow() != "" {
			groups = append(groups, effects[begin:i+1])
			begin = i + 1
		}
	}
	for i := begin; i < len(effects); i++ {
		groups = append(groups, effects[i:i+1])
	}
	return groups
}

// everyTick calls f with a Tick fact, every Service.Tick while the state is current: nobody is to be
// judged late by a state that has not heard the latest.
func (r *Runtime[S]) everyTick(ctx context.Context, f func(contract.Event)) {
	if r.s.Tick == 0 {
		return
	}
	t := time.NewTicker(r.s.Tick)
	defer t.Stop()
	for {
		select {
		case now := <-t.C:
			if r.current.Load() {
				f(contract.Event{Type: Tick, Time: now})
			}
		case <-ctx.Done():
			return
		}
	}
}

// dispatch hands a task to the worker of its key; tasks of one key are done in order.
func (r *Runtime[S]) dispatch(ctx context.Context, t *term, key string, todo task) {
	select {
	case t.workers[maphash.String(r.seed, key)%uint64(len(t.workers))] <- todo:
	case <-ctx.Done():
	}
}

// workerQueue bounds the tasks that wait for one worker.
const workerQueue = 64

func first(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
