// Package access says who may do what on NATS, and makes the keys and credentials that the server checks.
//
// A tenant has two NATS accounts. All streams are in the account of services. Persons and executors are in another one,
// without JetStream: what they need of the first one, the table of bridges carries, and nothing else.
//
// Two accounts are needed because of answers: whoever may send a request chooses the subject of its answer, and the
// server publishes answers without asking for permissions. In an account with JetStream, a user could have the
// acknowledgement of a flow.submit stored on the subject of a lease, or a stored message of their own published on
// $JS.API.STREAM.CREATE. Here, an answer stays in the account of who asked, and the server carries no answer over a bridge
// whose subject has a wildcard.
package access
