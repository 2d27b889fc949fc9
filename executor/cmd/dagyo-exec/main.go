// Command dagyo-exec is an executor that runs any command: see package shim.
package main

import (
	"os"

	"github.com/dagyo/dagyo/executor/shim"
)

func main() { os.Exit(shim.Main(os.Args[1:])) }
