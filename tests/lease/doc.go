// Package lease holds the lease of a service to its promise on a real nats-server: at no moment two replicas hold
// it, whatever the broker and the processes do, and a holder that vanishes is replaced in time.
package lease
