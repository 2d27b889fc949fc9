// Package backendtest is the conformance suite of package backend: every implementation passes
// [Run]. It defines what a backend must do; a [Harness] creates the backend.
//
// The suite runs one program, [Program], on the backend. The program connects to the test over TCP, identifies itself,
// and then executes the test's commands, so tests wait for events and never sleep. It exits when the connection closes,
// so nothing is left of a test that was killed.
package backendtest
