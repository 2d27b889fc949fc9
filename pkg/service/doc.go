// Package service runs every Dagyo service. A service is a Logic (package core): pure functions that fold EVENTS into
// a state and decide effects from it. This package is the I/O around that.
//
//	EVENTS ─ follow ─► core.Fold ─► core.Tasks ─► core.Worker: perform, publish ─► EVENTS
//	facts ── Runtime.Fold ──┘            ▲ │                              │
//	observations ─ Runtime.Publish ──────┘ └──────── core.Finish ◄────────┘
//
// Each replica follows EVENTS. The one that holds the lease leads: only it has tasks. All changes of the core go
// through Runtime.step, under one lock that is never held during I/O.
//
// # One clock
//
// Time is the broker's. The time of a decision is when the last folded event was stored, so the state includes all of
// EVENTS up to then, however long the process was paused. If a decision is due and no event arrives, the leader stores
// a tick (Sync). The local clock only determines when to do that.
//
// # One fence
//
// The leader checks its lease before it performs an effect and again before it publishes one. The broker rejects what a
// paused or replaced leader still publishes: it stores an event only if nothing was published about its aggregate
// (everything that services publish about one flow, executor, progdef or type) since the state that the decision is
// based on (Nats-Expected-Last-Subject-Sequence).
//
// # One memory
//
// EVENTS is the only record of what was done. Nothing depends on message ids, caches or the cause of an effect: Decide
// is called until it returns no effects. After a rejected publication, a lost answer or a change of leader, the replica
// catches up and decides again. A replica starts from the newest valid snapshot of its state and the events after it.
// The leader writes snapshots; the planner deletes the events that no service needs any more (snapshot.Trim).
//
// # No message can stop a service
//
// A message that cannot be decoded, or at which the service's logic panics, is answered with a rejection or a dead
// letter, and the fold continues. A failing effect is retried after growing pauses. After Limits.MaxAttempts it is
// answered the same way; an effect that the state still requires then, such as a verdict, is retried every minute. An
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
//	metrics.go    what is measured of a replica; counting events
//	trace.go      exporting the spans that end with an event
//	core/         the decisions: logic.go, core.go (fold, lead), tasks.go (decide, in flight, retry), queue.go,
//	              deadletter.go; worker.go performs and publishes
package service
