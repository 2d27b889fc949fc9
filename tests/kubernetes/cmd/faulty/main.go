// Command faulty runs one of the misbehaving programs, as an image for tests.
package main

import (
	"fmt"
	"os"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/tests/harness/faulty"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: faulty NAME")
		os.Exit(executor.ExitBadUsage)
	}
	os.Exit(faulty.Main(os.Args[1]))
}
