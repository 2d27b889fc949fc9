// Package service is the shell around every Dagyo service: EVENTS is folded into a state, the state is asked for
// effects, and effects are performed and published. A service is four pure functions and the I/O that makes its
// decisions true.
//
// # Inside: the core
//
// The core has no I/O, no clock, no lock and no goroutine. Each event that is folded names the keys that it
// touches: the flows, or whatever else a service decides about. For each touched key Decide returns the effects
// that the state asks for, and when it is to be asked again. It is asked until there are none. So it does not
// matter which event led to an effect, how often it is asked for, or who asked before: what is still to be done
// follows from the state, and a new leader asks for everything that is open.
//
// Effects are in flight until what they published has been folded. Meanwhile nothing else is begun about the
// same thing. An effect whose type is not in contract.Table is an act: it is performed, and folded when it is
// done.
//
// # One clock
//
// Time is the broker's. A decision is made at the time of the last event that was folded, so the state knows all
// that EVENTS held at that time, however long the process was stopped. When a decision is due and nothing else
// has happened, the leader stores a tick. Its own clock only tells when to do that.
//
// # One fence, one memory
//
// All that services publish about one flow, executor, progdef or type is an aggregate. An event is stored on the
// condition that nothing was published about its aggregate since the state that decided it
// (Nats-Expected-Last-Subject-Sequence). A leader that was replaced without noticing, an answer that was lost and
// a repeat all end the same way: the broker refuses, the state catches up and decides again. Nothing rests on
// message ids. Before each step the leader asks its lease whether it still leads, too, since what is performed
// outside of EVENTS knows no condition.
//
// # What cannot be folded
//
// A message that cannot be decoded, or that Evolve cannot take, is set aside and answered, with a rejection or a
// dead letter; the fold goes on. An effect that fails is tried again with growing pauses, and refused after
// MaxAttempts.
//
// # Start
//
// A replica starts from the newest good snapshot of its state, and folds the events behind it. The leader writes
// snapshots; snapshot.Trim, called by the planner, cuts off the events that all services have in theirs.
package service
