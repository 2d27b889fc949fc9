// Package broken contains executors that violate docs/protocol.md, each in one way, to show that the conformance kit
// finds it. Each is the Go SDK with a program that misbehaves, or with a relay to the broker that changes messages.
// From outside, it looks like a broken executor.
package broken
