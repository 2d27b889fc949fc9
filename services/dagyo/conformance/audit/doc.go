// Package audit judges what a tap has written down: pure functions from a journal to what breaks a rule
// of docs/protocol.md. The messages are in the order in which the tap saw them, so what the executor
// knew when it sent one is at most what lies before it.
package audit
