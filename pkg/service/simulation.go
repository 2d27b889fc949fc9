package service

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
)

// A Simulation is one replica of a service on a simulated EVENTS: the same core and the same conditions of
// publication, without NATS, clock and goroutines. Its driver decides when what happens: a replica that it leaves
// alone is paused, one that it restarts has crashed.
type Simulation interface {
	Name() string
	// At is the last event that was folded.
	At() uint64
	// Fold folds the next event, which has its place and the broker's time. One that is not readable stands for a
	// message that is no event.
	Fold(e contract.Event, readable bool)
	Fact(fact contract.Event)
	// Lead begins or ends the replica's term. What is in flight at its end is dropped.
	Lead(leading bool)
	Leading() bool
	// Flights is how many lists of effects are in flight.
	Flights() int
	// Fly carries out the i-th flight, and returns what tells the replica how it went. If that is never called,
	// the replica has crashed in between, or is paused.
	Fly(i int, log Log, perform Performer, held func() bool) (land func())
	// Next is when, by the broker's time, a decision is due.
	Next() (at time.Time, ok bool)
	// Snapshot returns the state as it is stored.
	Snapshot() (Image, error)
	// Restart begins with an empty state, or that of a snapshot.
	Restart(from *Image) error
	// Alarms are the complaints of the core since the last call.
	Alarms() []string
}

// An Image is a snapshot.
type Image struct {
	Seq   uint64
	At    time.Time
	State []byte
	Aside []outcast
	// Needs is the first event that must be there to start from it, 0 for that behind Seq.
	Needs uint64
}

// A Performer stands in for Service.Perform.
type Performer func(ctx context.Context, service string, effect contract.Event) (contract.Event, error)

// Simulate returns a replica of a service. read returns an event of the simulated EVENTS.
func Simulate[S any](
	s Service[S], c Config, fresh func() S, read func(seq uint64) (contract.Event, bool),
) Simulation {
	sim := &simulation[S]{s: s, c: c, fresh: fresh, read: read}
	sim.core = sim.begin()
	return sim
}

type simulation[S any] struct {
	s      Service[S]
	c      Config
	fresh  func() S
	read   func(seq uint64) (contract.Event, bool)
	core   *core[S]
	air    []*flight
	alarms []string
}

func (s *simulation[S]) begin() *core[S] {
	c := newCore(s.s, s.c, s.fresh())
	c.alarm = func(what string) { s.alarms = append(s.alarms, what) }
	return c
}

func (s *simulation[S]) step() { s.air = append(s.air, s.core.take()...) }

func (s *simulation[S]) Name() string  { return s.s.Name }
func (s *simulation[S]) At() uint64    { return s.core.at.Seq }
func (s *simulation[S]) Leading() bool { return s.core.leading }
func (s *simulation[S]) Flights() int  { return len(s.air) }

func (s *simulation[S]) Fold(e contract.Event, readable bool) {
	m := &message{place: place{e.Seq, e.Time}, subject: e.NATSSubject(), kind: e.Type}
	switch {
	case !readable:
		m.problems = problem.List{{Code: problem.NotCloudEvent, Message: "not a CloudEvent"}}
	case s.core.notes[e.Type]:
		m.event = contract.Event{Type: e.Type, Subject: e.Subject, Seq: e.Seq}
	default:
		m.event = e
	}
	s.core.fold(m)
	s.step()
}

func (s *simulation[S]) Fact(fact contract.Event) {
	s.core.fact(fact)
	s.step()
}

func (s *simulation[S]) Lead(leading bool) {
	s.air = nil
	s.core.lead(leading)
	s.step()
}

func (s *simulation[S]) Fly(i int, log Log, perform Performer, held func() bool) func() {
	f := s.air[i]
	s.air = slices.Delete(s.air, i, i+1)
	p := pilot{log: log, held: held, lastOf: func(a string) uint64 { return s.core.last[a] }, perform: s.perform(perform)}
	o := p.carryOut(context.Background(), f)
	core := s.core
	return func() {
		if s.core == core && !errors.Is(o.err, errFence) { // else it has restarted meanwhile
			core.finished(o)
			s.step()
		}
	}
}

// perform answers what was set aside, and leaves the rest to the service and then to the driver.
func (s *simulation[S]) perform(perform Performer) func(context.Context, contract.Event) (contract.Event, error) {
	return func(ctx context.Context, e contract.Event) (contract.Event, error) {
		if o, ok := e.With.(outcast); ok {
			stored, _ := s.read(o.Seq)
			m := &message{subject: stored.NATSSubject(), problems: problem.List{{Code: problem.NotCloudEvent}}}
			return answerOutcast(m, nil, o), nil
		}
		if s.s.Perform != nil {
			var err error
			if e, err = s.s.Perform(ctx, simulationHost[S]{s}, e); err != nil {
				return e, err
			}
		}
		return perform(ctx, s.s.Name, e)
	}
}

func (s *simulation[S]) Next() (time.Time, bool) { return s.core.agenda.next() }

func (s *simulation[S]) Snapshot() (Image, error) {
	state, err := s.s.Snapshot.Encode(s.core.state)
	i := Image{Seq: s.core.at.Seq, At: s.core.at.At, State: state, Aside: slices.Clone(s.core.aside)}
	if s.s.Snapshot.Needs != nil {
		i.Needs = s.s.Snapshot.Needs(s.core.state)
	}
	for _, o := range i.Aside {
		if i.Needs == 0 || o.Seq < i.Needs {
			i.Needs = o.Seq
		}
	}
	return i, err
}

func (s *simulation[S]) Restart(from *Image) error {
	s.core, s.air = s.begin(), nil
	if from == nil {
		return nil
	}
	s.core.at, s.core.aside = place{from.Seq, from.At}, slices.Clone(from.Aside)
	return s.s.Snapshot.Decode(s.core.state, from.State)
}

func (s *simulation[S]) Alarms() []string {
	out := s.alarms
	s.alarms = nil
	return out
}

// Read is for Host.
func (s *simulation[S]) Read(f func(S)) { f(s.core.state) }

// Event is for Host.
func (s *simulation[S]) Event(_ context.Context, seq uint64) (contract.Event, problem.List, error) {
	e, ok := s.read(seq)
	if !ok {
		return e, nil, errors.New("the event is not kept any more")
	}
	return e, nil, nil
}

// Sync is for Host.
func (s *simulation[S]) Sync(context.Context) error { return nil }

var _ Host[int] = simulationHost[int]{}

// simulationHost shows that a simulation is a Host but for At, which is the place there.
type simulationHost[S any] struct{ *simulation[S] }

// At is for Host.
func (h simulationHost[S]) At() time.Time { return h.core.at.At }
