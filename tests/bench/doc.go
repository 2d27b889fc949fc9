// Command bench measures Dagyo beside what it stands on and what it is compared with: every figure
// next to its reference, in one run, on one nats-server, in interleaved rounds.
//
//	go run ./tests/bench                 everything; the page goes to docs/bench
//	go run ./tests/bench -short          everything, small, in less than two minutes
//	go run ./tests/bench -run 128        the figures whose name matches
//
// It starts itself again for every part: the nats-server, each producer, stage and consumer, each
// service and each executor are processes of their own. They are told what to do on standard input
// and end when that closes, so nothing outlives the command.
//
// Package role is how it talks to its parts, package worker is the parts, package suite is what is
// measured, and package page writes it down.
package main
