// Package harness brings up all of Dagyo around one test: an embedded nats-server, the four services,
// and executors as real processes. It is for tests that cross modules.
package harness
