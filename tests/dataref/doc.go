// Package dataref tests the data of events that is in the object store, as hostile clients may have stored it, against an
// embedded NATS server.
package dataref
