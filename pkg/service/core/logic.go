// Package core decides what a service does, without I/O: no NATS, clock, lock or goroutine. Package service drives it
// with the messages of EVENTS, tests/simulation with those of a simulated one.
//
// A Core folds each message of EVENTS into the state. The service's Logic names the keys that an event touches, such
// as a flow. For each touched key the leader asks Logic.Decide for effects, until there are none: effects follow
// from the state, not from the event that led to it. Effects that belong together are a Task. A Worker performs and
// publishes them, and the task stays in flight until what it published is folded; nothing else starts about the same
// aggregate meanwhile. A failed task is retried after a pause, and answered with a rejection or a dead letter when no
// retry is worth it. Messages that cannot be decoded or folded are answered the same way.
package core

import (
	"errors"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// Logic is the pure half of a service: what it decides. S is a pointer to its state.
//
// Evolve, Decide, Open and InFlight have no context, I/O, clock, log or random number, and are called one at a time.
// Evolve and InFlight change the state in place, the others only read it. None of them changes an event.
type Logic[S any] struct {
	// Name is the service's name.
	Name string
	// Folds are the types of events that Evolve receives.
	Folds []contract.Type
	// Answers are the types whose unreadable messages this service answers; each type has one such service.
	Answers []contract.Type
	// Evolve folds an event or a fact, and returns the keys that must be decided again. The event's Time is the
	// broker's. An act is folded once it is performed.
	Evolve func(S, contract.Event) (keys []string)
	// Decide returns the effects that the state requires under a key, in order. It is asked again until there are
	// none, and again at the time next, if that is not zero. The state includes all that EVENTS held at now.
	//
	// An effect whose type is not in contract.Table is an act: it is performed and folded, and not published.
	Decide func(s S, key string, now time.Time) (effects []contract.Event, next time.Time)
	// Open returns the keys of everything unfinished. A new leader decides them.
	Open func(S) []string
	// InFlight notes that an effect is in flight, or no longer: what it will use is not free for another decision.
	// An effect whose event is folded may still be in flight for a moment. Only a leader's state has effects in
	// flight. May be nil.
	InFlight func(s S, effect contract.Event, begins bool)
	// Snapshot is how the state is stored.
	Snapshot Snapshot[S]
}

// FactMissed is a fact that the shell folds: for the duration in With the process could not receive anything, since
// it was paused, starved or disconnected. A fact is an observation that is not an event of EVENTS.
const FactMissed contract.Type = "fact.missed"

// FactLate is a fact that the shell folds: the process got its turn later than it had asked for, by the duration in
// With. The machine is overloaded.
const FactLate contract.Type = "fact.late"

// A Snapshot is how a state is stored.
type Snapshot[S any] struct {
	// Version changes with the form: a snapshot of another version is not read.
	Version int
	// Encode returns the state, without facts and without what a new state is filled with.
	Encode func(S) ([]byte, error)
	// Decode adds a stored state to a new one.
	Decode func(S, []byte) error
	// Needs returns the first message of EVENTS that the state refers to, 0 for none. May be nil.
	Needs func(S) uint64
}

// Limits bound the work of a leader.
type Limits struct {
	// Workers is how many tasks are in flight at the same time.
	Workers int
	// MaxAttempts bounds how often a failing effect is attempted.
	MaxAttempts int
}

var (
	// ErrTaken refuses an event that was to open its aggregate: there are events about it already. A dead letter
	// answers the event's cause. Perform may return it, too.
	ErrTaken = errors.New("there are events about it already")
	// ErrNotLeading ends the observations of a replica that does not lead.
	ErrNotLeading = errors.New("this replica does not lead any more")
	// ErrFenced reports that the lease has run out: the next leader decides about the task, or this one again if its
	// term goes on.
	ErrFenced = errors.New("the lease has run out")
	// ErrUnavailable marks failures that are not the effect's: they do not count as attempts.
	ErrUnavailable = errors.New("NATS is not there, or full")

	errConflict = errors.New("other events are published about it all the time")
)
