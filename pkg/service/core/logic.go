// Package core contains the decisions of a service, without I/O: no NATS, clock, lock or goroutine. Package service
// drives it with the messages of EVENTS, tests/simulation with those of a simulated stream.
//
// A Core folds each message of EVENTS into the state. The service's Logic names the keys that an event touches, such
// as a flow. For each touched key, the leader calls Logic.Decide until it returns no effects: effects follow
// from the state, not from the event that led to it. Effects that belong together are a Task. A Worker performs and
// publishes them, and the task stays in flight until its events are folded; no other task about the same aggregate
// starts meanwhile. A failed task is retried after a pause. If a retry cannot help, the task is answered with a
// rejection or a dead letter. Messages that cannot be decoded or folded are answered the same way.
package core

import (
	"errors"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// Logic is the pure part of a service: its decisions. S is a pointer to its state.
//
// Evolve, Decide, Open and InFlight use no context, I/O, clock, log or random number, and are never called concurrently.
// Evolve and InFlight change the state in place, the others only read it. None of them changes an event.
type Logic[S any] struct {
	// Name is the service's name.
	Name string
	// Folds are the types of events that Evolve receives.
	Folds []contract.Type
	// Answers are the types whose unreadable messages this service answers; exactly one service answers each type.
	Answers []contract.Type
	// Evolve folds an event or a fact, and returns the keys that must be decided again. The event's Time is the
	// broker's. An act is folded once it is performed.
	Evolve func(S, contract.Event) (keys []string)
	// Decide returns the effects that the state requires under a key, in order. It is called until it returns none, and
	// again at the time next, if that is not zero. The state includes everything that EVENTS held at now.
	//
	// An effect whose type is not in contract.Table is an act: it is performed and folded, but not published.
	Decide func(s S, key string, now time.Time) (effects []contract.Event, next time.Time)
	// Open returns the keys of everything unfinished. A new leader decides them.
	Open func(S) []string
	// InFlight notes that an effect is in flight, or that it no longer is: what it will use is not free for another
	// decision. An effect may still be in flight for a moment after its event was folded. Only the state of a leader
	// has effects in flight. When one ends without its event, InFlight returns the keys whose decisions took it into
	// account. May be nil.
	InFlight func(s S, effect contract.Event, begins bool) (keys []string)
	// Snapshot converts the state to and from its stored form.
	Snapshot Snapshot[S]
}

// FactMissed is a fact that the shell folds: the process could not receive anything for the duration in With, because
// it was paused, starved or disconnected. A fact is an observation that is not an event of EVENTS.
const FactMissed contract.Type = "fact.missed"

// FactLate is a fact that the shell folds: the process was scheduled late, by the duration in With. The machine is
// overloaded.
const FactLate contract.Type = "fact.late"

// A Snapshot converts a state to and from its stored form.
type Snapshot[S any] struct {
	// Version is the version of the stored form: a snapshot of another version is not read.
	Version int
	// Rest returns what is stored besides Flows, without facts and without the initial content of a new state. The value
	// is encoded as a JSON object while the state goes on changing: it must share nothing with it that Evolve changes.
	Rest func(S) any
	// Flows returns the flows about which something is stored. Flow returns that, by the member of the object that has
	// a value for each flow. What EVENTS holds may change it only by an event or act with the flow as its Subject, or by
	// an event about no flow that is neither a tick nor a dead letter. Both are nil if nothing is stored by flow.
	Flows func(S) []string
	Flow  func(s S, flow string) map[string]any
	// Decode adds a stored state to a new one.
	Decode func(S, []byte) error
	// Needs returns the first message of EVENTS that the state refers to, or 0 if there is none. It may be nil.
	Needs func(S) uint64
}

// Limits limit the work of a leader.
type Limits struct {
	// Workers is the maximum number of tasks in flight.
	Workers int
	// MaxAttempts is the maximum number of attempts of a failing effect.
	MaxAttempts int
}

var (
	// ErrTaken rejects an event that must be the first of its aggregate, which already has events. A dead letter
	// answers the event's cause. Perform may also return it.
	ErrTaken = errors.New("it already has events")
	// ErrNotLeading ends the observations of a replica that is not the leader.
	ErrNotLeading = errors.New("this replica is no longer the leader")
	// ErrFenced reports that the lease has expired. The next leader decides the task, or this one again if it renews
	// the lease.
	ErrFenced = errors.New("the lease has expired")
	// ErrUnavailable marks failures that the effect did not cause: they do not count as attempts.
	ErrUnavailable = errors.New("NATS is unavailable or full")

	errConflict = errors.New("other events about it are published continuously")
)
