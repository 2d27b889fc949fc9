// Command bench measures Dagyo and the systems that it builds on or competes with. Every figure is measured next to its
// reference, in one run, on one nats-server, in interleaved rounds.
//
//	go run ./tests/bench                 everything; writes the page to docs/bench
//	go run ./tests/bench -short          everything at a small scale, in less than two minutes
//	go run ./tests/bench -run 128        the figures whose name matches
//
// It runs itself again for every part: the nats-server, each producer, stage and consumer, each service and each
// executor are separate processes. They receive commands on standard input and exit when that closes, so nothing
// outlives the command.
//
// Package role communicates with the parts, package worker implements them, package suite defines what is measured, and
// package page writes the results.
package main
