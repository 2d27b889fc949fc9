package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/panic-aggregator"
	"github.com/dagyo/dagyo/tests/harness"
)

// On a busy machine no job is lost with the default settings, and a frozen executor is found within twice its timeout.
// `make faults-load` makes the machine busy for 10 minutes, with 15 programs for each core.
func TestBusyMachine(t *testing.T) {
	const jobs, slots, timeout = 40, 10, 10 * time.Second
	programs, duration := 8, 10*time.Second
	if os.Getenv(envLong) != "" {
		programs, duration = 30, 10*time.Minute
	}
	o := harness.DefaultOptions()
	o.Aggregator.Limits = aggregator.DefaultLimits()
	s := harness.Start(t, o)
	c := s.Client(t)
	c.Apply(t, fmt.Sprintf(`{"name": "sink", "inputs": {"in": "utf8-string"}, "command": ["dagyo", "faulty", "sink"],
		"scaling": {"jobsPerExecutor": %d, "maxExecutors": %d, "idleTimeout": "1h"}}`, slots, jobs/slots+1))
	executors := make(map[string][]string) // flows
	for i := range jobs {
		id := fmt.Sprintf("long-%d", i)
		start(t, c, id, fed("sink", "1h"))
		d := c.Await(t, "job", harness.Is(contract.TypeJobStarted, id)).Data.(*contract.JobStarted)
		executors[d.Executor] = append(executors[d.Executor], id)
	}
	for range programs {
		burn(t)
	}
	began := time.Now()
	short := 0
	pause := time.NewTicker(100 * time.Millisecond)
	defer pause.Stop()
	for ; time.Since(began) < duration; short++ {
		<-pause.C
		id := fmt.Sprintf("short-%d", short)
		c.Submit(t, id, fed("sink", "1h"))
		planned := c.Await(t, "plan", harness.Is(contract.TypeFlowPlanned, id)).Data.(*contract.FlowPlanned)
		closeInput(t, c, planned)
		fine(t, c.AwaitEnd(t, id))
	}
	if lost := c.Events(func(e contract.Event) bool { return e.Type == contract.TypeFlowPanic }); len(lost) > 0 {
		t.Fatalf("%d flows are lost: %+v", len(lost), lost[0])
	}
	var frozen string
	for x, flows := range executors {
		if len(flows) > len(executors[frozen]) {
			frozen = x
		}
	}
	pid := s.ProgramPID(frozen)
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Kill(pid, unix.SIGCONT) })
	since := time.Now()
	d := panicked(t, c.AwaitEnd(t, executors[frozen][0]))
	took := time.Since(since)
	if d.Cause.Kind != contract.KindLostHealth || took > 2*timeout {
		t.Errorf("a frozen executor is found after %v: %+v", took, d.Cause)
	}
	load, _ := os.ReadFile("/proc/loadavg")
	t.Logf("%d jobs ran for %v and %d short flows completed beside %d programs; a frozen executor was found after %v; load %s",
		jobs, duration, short, programs, took.Round(time.Second), strings.TrimSpace(string(load)))
}

// burn keeps a core busy until the test ends.
func burn(t *testing.T) {
	t.Helper()
	cmd := exec.Command("sh", "-c", "while :; do :; done")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}
