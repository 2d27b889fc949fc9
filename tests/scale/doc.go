// Command scale computes and simulates what a cell carries: three nats-servers as a cluster, and two replicas of each
// service. It needs no network and prints Markdown; docs/scale.md has its output and what follows from it.
//
//	go run ./tests/scale                                   the figures of docs/scale.md
//	go run ./tests/scale -bench docs/bench/DATE.json       with the costs of another run of the bench
//
// The costs are measured (`go run ./tests/bench -run '^cell|routes|replicated'`). The machines are assumed. File inputs.go has both,
// limits.go computes what each part carries alone, and cell.go simulates flows through all parts (queue.go).
package main
