// Package lease tests the lease of a service on a real nats-server: two replicas never hold it at the same time,
// whatever the broker and the processes do, and a holder that disappears is replaced in time.
package lease
