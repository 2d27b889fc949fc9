// Package conformance is the conformance kit: it runs an executor in any language against a scripted
// broker side, and says what holds of docs/protocol.md.
//
// It knows the executor by its process only. CMD must serve a program with one input and one output
// that copies each record; docs/conformance.md describes it, the flags, and each check.
//
// A check ([Checks]) has a stage: a mailbox, flows and executors of its own on a nats-server of the kit's.
// In front of each executor is a relay (package tap) that writes down what both sides say (package
// journal) and can hold back, lose or change it. What was written down is judged by pure functions
// (package audit).
//
// The server has roles, as in an installation: each executor has credentials of the role executor, and what the server
// refuses fails its check.
//
// It reads and writes the subjects of the spawner (jobs.>), of the planner (EDGES-* streams) and of both
// ends of edges, and reads EVENTS; on its own server, so no other Dagyo is concerned. In the account of services it has
// all rights, with credentials that no role gives; at the ends of edges it is a user.
package conformance
