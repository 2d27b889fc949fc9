// Package service runs every Dagyo service. A service is a Logic (package core): pure functions that fold EVENTS into
// a state and decide effects from it. This package is the I/O around that.
//
//	EVENTS ─ follow ─► core.Fold ─► core.Tasks ─► core.Worker: perform, publish ─► EVENTS
//	facts ── Runtime.Fold ──┘            ▲ │                              │
//	observations ─ Runtime.Publish ──────┘ └──────── core.Finish ◄────────┘
//
// Each replica follows EVENTS. One of them holds the lease and leads: only it has tasks. Everything that changes the
// core goes through Runtime.step, under one lock, which is never held over I/O.
//
// # One clock
//
// Time is the broker's. A decision is made at the time at which the last folded event was stored, so the state
// includes all that EVENTS held then, however long the process was paused. When a decision is due and nothing else
// happens, the leader stores a tick (Sync). Its own clock only says when to do that.
//
// # One fence
//
// The leader checks its lease before it performs an effect and again before it publishes one. What a paused or
// replaced leader publishes nevertheless fails the broker's condition: an event is stored only if nothing was
// published about its aggregate (all that services publish about one flow, executor, progdef or type) since the state
// that decided it (Nats-Expected-Last-Subject-Sequence).
//
// # One memory
//
// EVENTS is the only record of what was done. Nothing rests on message ids, caches or the cause of an effect: the
// state is asked for effects until it requires none. After a refused publication, a lost answer or a change of
// leaders the state catches up and decides again. A replica starts from the newest good snapshot of its state and the
// events behind it. The leader writes snapshots; the planner cuts off the events that no service needs any more
// (snapshot.Trim).
//
// # Nothing poisons it
//
// A message that cannot be decoded, or at which the service's logic panics, is answered with a rejection or a dead
// letter, and the fold goes on. A failing effect is attempted again after growing pauses. After Limits.MaxAttempts it
// is answered the same way; what the state still requires then, such as a verdict, is attempted each minute. An
// unreachable or full broker does not count as an attempt.
//
// # Files
//
//	service.go    what a service provides; Run
//	runtime.go    the replica: following EVENTS, and what a service may call
//	clock.go      the broker's time, ticks, and gaps in which the process could not receive
//	lead.go       the lease, and carrying out tasks
//	snapshots.go  writing and restoring the state
//	asks.go       requests, and `nats micro`
//	core/         the decisions: logic.go, core.go (fold, lead), tasks.go (decide, in flight, retry), queue.go,
//	              deadletter.go; worker.go performs and publishes
package service
