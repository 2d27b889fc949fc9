// Package embedded runs a nats-server with JetStream in this process: the broker of `dagyo up`, and of
// `dagyo run` without a server. It contains no logic of Dagyo: it starts the server, reports why it could
// not start, and stops it completely in Shutdown.
package embedded
