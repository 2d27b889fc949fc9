// Package client tests pkg/client with a NATS server, which that module does not have.
package client
