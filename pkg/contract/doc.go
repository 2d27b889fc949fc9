// Package contract is the agreement between Dagyo's parts: the table of events, their payloads, and the
// names of subjects, streams and buckets. It decides nothing and does no I/O.
//
// [Table] lists every event on NATS: its type is also the beginning of its subject and the name of its JSON
// Schema. A test checks the table, the schema files and the EVENTS stream against each other. The AsyncAPI
// document and docs/events.md are generated from them.
package contract
