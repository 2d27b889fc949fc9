// Package tap is a relay in front of a nats-server that understands NATS' client protocol: it writes
// down what a client and the server say to each other, and can hold back, drop or change any of it.
//
// The conformance kit has one in front of every executor: it sees there what no subscription shows
// (which jobs were pulled, what was subscribed to, what the broker answered) and can lose, in a
// moment of its choice, one answer or the whole connection.
package tap
