package process_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/dagyo/dagyo/services/spawner/backendtest"
	"github.com/dagyo/dagyo/services/spawner/process"
)

// envRole makes the test binary play the dagyo command: its first argument says which.
const envRole = "PROCESS_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(envRole) == "" {
		goleak.VerifyTestMain(m)
		return
	}
	switch role := os.Args[1]; role {
	case "supervise":
		os.Exit(process.Supervise(os.Args[2]))
	case "program":
		os.Exit(backendtest.Program())
	case "spawner":
		os.Exit(spawner())
	default:
		fmt.Fprintf(os.Stderr, "no role %q\n", role)
		os.Exit(2)
	}
}
