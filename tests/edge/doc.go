// Package edge tests pkg/stream on a real, embedded nats-server: order, ends, windows, early close,
// kicked connections, restarts, forged frames, and the facts about the broker that the edges rely
// on (facts_test.go).
package edge
