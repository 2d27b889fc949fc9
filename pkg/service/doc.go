// Package service is the shell around every Dagyo service: it connects, replays, decodes, decides,
// performs, publishes, acknowledges, logs and counts, so that a service is two pure functions and
// the I/O that makes its decisions true.
//
// # How a cause becomes an effect
//
// Each replica reads EVENTS from its beginning and folds the events it cares about into its state, with
// Evolve. One of them leads, by a lease; the others stand by with the same state. Once a cause is folded,
// the leader asks Decide for the effects, and for each effect in order
//
//  1. calls Perform, which makes it true (a stream exists, a process runs), and then
//  2. publishes it, under a message id made of what it says, so that a repeat is dropped.
//
// An effect whose type is not in contract.Table is an act: performed once, never published.
//
// Only then is the cause done. Which ones are done the leader writes down every few milliseconds, at
// progress.<service>: a record of the last cause that it has taken up, and of those before it that are open
// still. The next leader goes on from there. What was done since the record was written it does again,
// which changes nothing: Decide sees that it is done already, Perform is idempotent, and the broker drops
// what was said before.
//
// A message is sent to each replica once and decoded once: for the fold, for the answer, and for those who
// Follow. The last messages are kept for that as long as a reader has not taken them, within bounds; whoever
// is slower than that, such as a new leader, reads the stream.
//
// A passing error is retried with growing delay, at most MaxAttempts times by one leader; a *Permanent
// error, or one that does not pass, becomes an event that says why. Nothing is retried for ever.
package service
