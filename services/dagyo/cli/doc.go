// Package cli implements the command dagyo: its arguments, output and exit codes. Package client
// implements the communication with Dagyo, package local runs Dagyo in this process.
//
// Only [Main] accesses the process. [Run] gets everything as an [Invocation], so that tests can call it.
package cli
