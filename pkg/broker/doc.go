// Package broker connects to NATS and creates the streams, buckets and mailboxes of Dagyo. It contains
// their configuration; package contract contains their names.
package broker
