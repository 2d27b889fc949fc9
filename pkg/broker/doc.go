// Package broker connects to NATS and makes the streams, buckets and mailboxes that Dagyo stands on.
// It knows their configuration; package contract knows their names.
package broker
