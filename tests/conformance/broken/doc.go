// Package broken holds executors that break docs/protocol.md, each in one way, to show that the
// conformance kit finds it. Each is the Go SDK with a program that misbehaves, or with a relay between
// it and the broker that changes what it says and hears: from outside, a broken executor.
package broken
