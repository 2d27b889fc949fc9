// Package cluster tests what differs from a single server on a cluster of three nats-servers: it does not answer every
// request.
package cluster
