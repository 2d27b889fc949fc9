package service

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/snapshot"
)

// A Simulation is one replica of a service on a simulated EVENTS: the same core and the same conditions of
// publication, without NATS, clock and goroutines. Its driver decides when what happens: a replica that it leaves
// alone is paused, one that it restarts has crashed.
type Simulation interface {
	Name() string
	// At is the last event that was folded.
	At() uint64
	// Fold folds the next message.
	Fold(m *Message)
	// Fact folds what was learnt outside of EVENTS, at the time that it has.
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
	snapshot.Description
	State []byte
	Aside []outcast
}

// Store returns the snapshots of a service that are kept once one more was stored. EVENTS ends at end.
func Store(kept []Image, more Image, end uint64) []Image {
	byPlace := map[uint64]Image{more.Seq: more}
	all := []snapshot.Description{more.Description}
	for _, i := range kept {
		if i.Seq != more.Seq {
			byPlace[i.Seq] = i
			all = append(all, i.Description)
		}
	}
	slices.SortFunc(all, snapshot.Newer)
	var out []Image
	for _, d := range snapshot.Remaining(all, end) {
		out = append(out, byPlace[d.Seq])
	}
	return out
}

// Needed returns the first event that a service may need that starts from these snapshots: what comes before may
// be cut off. It is 0 where nothing may.
func Needed(kept map[string][]Image) uint64 {
	all := make(map[string][]snapshot.Description)
	for service, images := range kept {
		for _, i := range images {
			all[service] = append(all[service], i.Description)
		}
	}
	return snapshot.Needed(all, false)
}

// A Message is a message of the simulated EVENTS. All replicas share what it decodes to.
type Message struct {
	Seq     uint64
	At      time.Time // when the broker stored it
	Subject string
	Header  nats.Header
	Data    []byte

	decoded *message
}

// Event decodes the message. readable is false for one that is no event.
func (m *Message) Event() (e contract.Event, readable bool) {
	d := m.decode()
	return d.event, len(d.problems) == 0
}

func (m *Message) decode() *message {
	if m.decoded == nil {
		d := &message{place: place{Seq: m.Seq, At: m.At}, subject: m.Subject, kind: contract.TypeOf(m.Subject)}
		d.decode(m.Header, m.Data)
		d.event.Seq = m.Seq
		m.decoded = d
	}
	return m.decoded
}

// A Performer stands in for Service.Perform.
type Performer func(ctx context.Context, service string, effect contract.Event) (contract.Event, error)

// Simulate returns a replica of a service. read returns a message of the simulated EVENTS, nil for one that is
// not kept any more.
func Simulate[S any](s Service[S], c Config, fresh func() S, read func(seq uint64) *Message) Simulation {
	sim := &simulation[S]{s: s, c: c, fresh: fresh, read: read}
	sim.core = sim.begin()
	return sim
}

// SaySimulated is Runtime.Say of a simulated replica. ended reports whether it would have returned, and with what.
func SaySimulated[S any](sim Simulation, decide func(S) []contract.Event) (ended func() (bool, error)) {
	s := sim.(*simulation[S])
	x := &say[S]{decide: decide, done: make(chan error, 1)}
	s.core.say(x)
	s.step()
	return func() (bool, error) {
		select {
		case err := <-x.done:
			return true, err
		default:
			return false, nil
		}
	}
}

// ReadSimulated calls f with the state of a simulated replica, which f must neither change nor keep.
func ReadSimulated[S any](sim Simulation, f func(S)) { f(sim.(*simulation[S]).core.state) }

type simulation[S any] struct {
	s      Service[S]
	c      Config
	fresh  func() S
	read   func(seq uint64) *Message
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

func (s *simulation[S]) Fold(m *Message) {
	read, whole := s.core.begin(m.Subject)
	if whole {
		*read = *m.decode()
	}
	read.place, read.event.Seq = place{Seq: m.Seq, At: m.At}, m.Seq
	s.core.fold(read)
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
	p := pilot{service: s.s.Name, log: log, held: held, lastOf: func(a string) uint64 { return s.core.last[a] }, perform: s.perform(perform)}
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
			m := s.read(o.Seq)
			if m == nil {
				return notKept(o), nil
			}
			return answerOutcast(m.decode(), m.Data, o), nil
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
	return Image{
		Description: snapshot.Description{Service: s.s.Name, Place: s.core.at, Needs: s.core.needs()},
		State:       state, Aside: slices.Clone(s.core.aside),
	}, err
}

func (s *simulation[S]) Restart(from *Image) error {
	s.core, s.air = s.begin(), nil
	if from == nil {
		return nil
	}
	s.core.restore(from.Place, slices.Clone(from.Aside))
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
	m := s.read(seq)
	if m == nil {
		return contract.Event{}, nil, errors.New("the event is not kept any more")
	}
	d := *m.decode()
	d.event.Time = m.At
	return d.event, d.problems, nil
}

// Sync is for Host.
func (s *simulation[S]) Sync(context.Context) error { return nil }

var _ Host[int] = simulationHost[int]{}

// simulationHost shows that a simulation is a Host but for At, which is the place there.
type simulationHost[S any] struct{ *simulation[S] }

// At is for Host.
func (h simulationHost[S]) At() time.Time { return h.core.now }
