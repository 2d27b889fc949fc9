// Package access says who may do what on NATS, and makes the keys and credentials that the server checks.
//
// A tenant has two NATS accounts. In the account of events are EVENTS, the mailboxes and the services' own streams;
// only services connect to it. In the account of edges are executors and persons, and what they exchange directly:
// edges, signs of life, large data of events. What they need of the other account, the table of bridges carries, and
// nothing else.
//
// Two accounts are needed because of answers: whoever may send a request chooses the subject of its answer, and the
// server publishes answers without asking for permissions. In one account, a user could have the acknowledgement of a
// flow.submit stored on the subject of a lease.
package access
