// Command dagyo runs data-flow graphs of typed programs: it is the client, all services, and the
// standard executors in one binary.
package main

import (
	"os"

	"github.com/dagyo/dagyo/services/dagyo/cli"
)

func main() { os.Exit(cli.Main()) }
