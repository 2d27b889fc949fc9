// Package client is the client of Dagyo: it submits and cancels flows, publishes progdefs, follows
// events, sends requests to services, feeds a flow's inputs and reads its outputs. It depends on NATS
// and package contract; package report formats its results for a terminal.
//
// The client needs no addresses of services: commands are published to the stream EVENTS, answers are
// events in it, and requests go to the subject of the service.
package client
