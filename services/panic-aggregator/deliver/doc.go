// Package deliver sends verdicts to webhooks.
//
// The stream WEBHOOKS holds a copy of the verdicts in EVENTS, which NATS makes by itself, for as long as they are tried: EVENTS
// is trimmed by what services need, which is much less under load. It exists while there are webhooks. Each webhook has a
// durable consumer on it, so a new leader continues where the last one stopped, and what a receiver does not take is held up for
// it alone. What is in flight for each webhook is bounded by the consumer; NATS keeps which attempts have failed and when the
// next ones are due. Nothing here is on the way of a verdict.
package deliver
