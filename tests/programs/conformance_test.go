package programs

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/dagyo/dagyo/executor/shim"
	"github.com/dagyo/dagyo/services/dagyo/conformance"
)

// envShim makes the test binary the command dagyo-exec.
const envShim = "SHIM_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(envShim) != "" {
		os.Exit(shim.Main(os.Args[1:]))
	}
	goleak.VerifyTestMain(m)
}

// The shim with an unchanged cat keeps to the protocol as a program of the SDK does.
func TestShimConforms(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	report, err := conformance.Run(t.Context(), conformance.Config{
		Command: []string{"/usr/bin/env", envShim + "=1", os.Args[0], "--", "cat"},
		Ports:   conformance.DefaultPorts(), Parallel: conformance.DefaultParallel, Patience: conformance.DefaultPatience,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range report.Results {
		// A defect of the SDK below it: see knownDefects in tests/conformance.
		if r.Result != conformance.Pass && r.Check != "drain.gives-back" {
			t.Errorf("%s %s: %s\n%s", r.Check, r.Result, r.Seen, r.Stderr)
		}
	}
}
