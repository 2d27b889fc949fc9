// Command dagyo runs data-flow graphs of typed programs. It contains the client, all services and the
// standard executors.
package main

import (
	"os"
	_ "time/tzdata" // for where the system knows no time zones, as in our image

	// Where the system has no certificates of authorities, as in our image, those of Mozilla count.
	_ "golang.org/x/crypto/x509roots/fallback"

	"github.com/dagyo/dagyo/services/dagyo/cli"
)

func main() { os.Exit(cli.Main()) }
