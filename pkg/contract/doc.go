// Package contract is the agreement between Dagyo's parts: the one table of events, their payloads,
// and the names of subjects, streams and buckets. It decides nothing and does no I/O.
//
// Everything that is said on NATS is listed in [Table]: the event's type is also the head of its
// subject and the name of its JSON Schema. A test holds the table, the schema files and the
// EVENTS stream to each other, and generates the AsyncAPI document and docs/events.md from them.
package contract
