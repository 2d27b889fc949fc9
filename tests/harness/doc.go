// Package harness runs all of Dagyo for a test: an embedded nats-server, the four services, and executors as real
// processes. It is for tests across modules.
package harness
