// Package backendtest is the conformance suite of package backend: every implementation passes
// [Run]. It decides what a backend must do; a [Harness] says how to make one.
//
// The suite runs one program, [Program], on the backend. The program connects back to the test over
// TCP, says who it is, and then does what the test tells it to, so that a test waits for what
// happens and never for time to pass. It ends when the connection does: nothing of a test that died
// stays behind.
package backendtest
