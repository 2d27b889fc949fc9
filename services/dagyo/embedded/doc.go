// Package embedded runs a nats-server with JetStream inside this process: the broker of `dagyo up` and
// of `dagyo run` without a server. It decides nothing about Dagyo; it only makes sure that the server
// is there, says clearly why it is not, and is gone when Shutdown returns.
package embedded
