// Package cli is the command dagyo: what its arguments mean, what it prints where, and how it exits.
// What a command does is package client's (talking to Dagyo) and package local's (being Dagyo).
//
// Nothing here touches the process but [Main]: [Run] gets all that it may use as an [Invocation], so
// that tests can call it.
package cli
