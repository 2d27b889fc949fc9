package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	bench := flag.String("bench", "docs/bench/2026-11-30-cell.json", "results of the bench")
	flag.Parse()
	raw, err := os.ReadFile(*bench)
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
	costs, err := readCosts(raw)
	if err != nil {
		fmt.Fprintf(os.Stderr, "scale: %s: %v\n", *bench, err)
		os.Exit(1)
	}
	fmt.Print(report(costs))
}
