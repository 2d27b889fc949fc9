package conformance

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/dagyo/dagyo/executor/shim"
	"github.com/dagyo/dagyo/services/dagyo/conformance"
	"github.com/dagyo/dagyo/tests/conformance/broken"
)

// envFault makes the test binary an executor with the named fault; "none" means no fault.
const envFault = "DAGYO_TEST_FAULT"

func TestMain(m *testing.M) {
	if os.Getenv(envShim) != "" {
		os.Exit(shim.Main(os.Args[1:]))
	}
	if name, ok := os.LookupEnv(envFault); ok {
		os.Exit(broken.Main(strings.TrimPrefix(name, "none")))
	}
	// The tests mostly wait for deadlines that a broken executor misses.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// envShim makes the test binary the command dagyo-exec.
const envShim = "DAGYO_TEST_SHIM"

// command starts this test binary as an executor.
func command(fault string) []string {
	return []string{"/usr/bin/env", envFault + "=" + fault, os.Args[0]}
}

func config(command []string) conformance.Config {
	return conformance.Config{
		Command: command, Ports: conformance.DefaultPorts(),
		Parallel: conformance.DefaultParallel, Patience: conformance.DefaultPatience,
	}
}

func run(t *testing.T, c conformance.Config) conformance.Report {
	t.Helper()
	report, err := conformance.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestGoSDK(t *testing.T) {
	conforms(t, command("none"), nil)
}

// A command under the shim is a conforming executor.
func TestShim(t *testing.T) {
	conforms(t, []string{"/usr/bin/env", envShim + "=1", os.Args[0], "--", "cat"}, nil)
}

// conforms expects an executor to pass all checks except those of its known defects. A check that passes unexpectedly
// is also an error: remove the fixed defect from the list.
func conforms(t *testing.T, command []string, defects map[string]string) {
	t.Helper()
	for _, r := range run(t, config(command)).Results {
		defect, known := defects[r.Check]
		switch {
		case r.Result == conformance.Fail && !known:
			t.Errorf("%s: %s\n%s", r.Check, r.Seen, r.Stderr)
		case r.Result == conformance.Slow:
			t.Errorf("%s was too slow: %s\n%s", r.Check, r.Seen, r.Stderr)
		case r.Result == conformance.Fail:
			t.Logf("%s: %s (known: %s)", r.Check, r.Seen, defect)
		case known:
			t.Errorf("%s passes now: remove it from the known defects", r.Check)
		case r.Result == conformance.Skipped:
			t.Errorf("%s was skipped: %s", r.Check, r.Seen)
		}
	}
}

// TestBroken checks that the kit finds each fault, by the checks that exist for it. Its time limits are short, since
// most of the time is spent waiting for what a broken executor never does. Limits do not count time in which the
// processors are busy with something else.
func TestBroken(t *testing.T) {
	for _, f := range broken.Faults() {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			c := config(command(f.Name))
			c.Only = regexp.MustCompile("^(" + strings.Join(f.Checks, "|") + ")$")
			c.Parallel, c.Patience = 8, 5*time.Second
			report := run(t, c)
			if len(report.Results) != len(f.Checks) {
				t.Fatalf("%d of the checks %v exist", len(report.Results), f.Checks)
			}
			for _, r := range report.Results {
				if r.Result != conformance.Fail || !strings.Contains(r.Seen, f.Seen) {
					t.Errorf("%s: %s, %q; want a failure that contains %q\n%s", r.Check, r.Result, r.Seen, f.Seen, r.Stderr)
				}
			}
		})
	}
}

// TestEveryCheckCanFail checks that every check has a fault that fails it: otherwise the check proves nothing.
func TestEveryCheckCanFail(t *testing.T) {
	var failed []string
	for _, f := range broken.Faults() {
		failed = append(failed, f.Checks...)
	}
	for _, c := range conformance.Checks() {
		if !slices.Contains(failed, c.Name) {
			t.Errorf("no fault makes %s fail", c.Name)
		}
	}
}
