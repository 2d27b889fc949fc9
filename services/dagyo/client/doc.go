// Package client is a user's side of Dagyo: it submits and cancels flows, publishes progdefs, follows
// events, asks questions and reads a flow's outputs. It knows NATS and package contract; how things
// look on a terminal is package report's.
//
// Nothing here needs a service's address: commands are published to the EVENTS stream, answers are
// events there, and questions go to whoever answers their subject.
package client
