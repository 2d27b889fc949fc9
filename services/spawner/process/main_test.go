package process_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/dagyo/dagyo/services/spawner/backendtest"
	"github.com/dagyo/dagyo/services/spawner/process"
)

// envRole makes the test binary act as the dagyo command or a test program: its first argument selects the role.
const envRole = "PROCESS_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(envRole) == "" {
		dir := coverDir()
		goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
			_ = os.RemoveAll(dir)
			os.Exit(code)
		}))
		return
	}
	switch role := os.Args[1]; role {
	case "supervise":
		os.Exit(process.Supervise(os.Args[2]))
	case "program":
		os.Exit(backendtest.Program())
	case "attack":
		os.Exit(attack(os.Args[2:]))
	case "spawner":
		os.Exit(spawner())
	default:
		fmt.Fprintf(os.Stderr, "no role %q\n", role)
		os.Exit(2)
	}
}

// coverDir creates a folder for the coverage data of the test's processes.
func coverDir() string {
	dir, err := os.MkdirTemp("", "process-cover-*")
	if err == nil {
		err = os.Setenv("GOCOVERDIR", dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return dir
}
