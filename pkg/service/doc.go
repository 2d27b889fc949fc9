// Package service is the shell around every Dagyo service: it connects, replays, decodes, decides,
// performs, publishes, acknowledges, logs and counts, so that a service is two pure functions and
// the I/O that makes its decisions true.
//
// # How a cause becomes an effect
//
// Each replica folds the events it cares about into its state, from the beginning of EVENTS, with
// Evolve. One of them leads, by a lease; the others stand by with the same state. Causes arrive at
// the leader on a durable consumer. For each cause the shell waits until its own state has folded
// that far, asks Decide for the effects, and for each effect in order
//
//  1. calls Perform, which makes it true (a stream exists, a process runs), and then
//  2. publishes it, under a message id made of what it says, so that a repeat is dropped.
//
// An effect whose type is not in contract.Table is an act: performed once, never published.
//
// Only then is the cause acknowledged. A leader killed in between changes nothing: the cause comes
// again, to the next leader, Perform is idempotent, and the broker drops what was already said.
//
// A passing error is retried with growing delay, at most MaxAttempts times; a *Permanent error, or one
// that does not pass, becomes an event that says why. Nothing is retried for ever.
package service
