package e2e

import (
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/harness"
)

// A reader that does not read blocks its writer at the window: neither the broker nor the writer's process holds more.
func TestSlowReaderHoldsWriter(t *testing.T) {
	for _, reader := range []string{"never-reads", "reads-slowly"} {
		t.Run(reader, func(t *testing.T) {
			s := harness.Start(t, harness.DefaultOptions())
			c := s.Client(t)
			c.ApplyFaulty(t, harness.Faulty{Name: "endless", Out: true})
			c.ApplyFaulty(t, harness.Faulty{Name: reader, In: true})
			c.Submit(t, "held", `{"nodes": {"from": {"progdef": "endless"}, "to": {"progdef": "`+reader+`"}},
				"edges": [{"from": "from.out", "to": "to.in"}]}`)
			planned := c.Await(t, "plan", harness.Is(contract.TypeFlowPlanned, "held")).Data.(*contract.FlowPlanned)
			window := uint64(planned.Jobs[0].Outputs["out"].Window)
			started := c.Await(t, "start", func(e contract.Event) bool {
				d, ok := e.Data.(*contract.JobStarted)
				return ok && d.Job == "from"
			}).Data.(*contract.JobStarted)
			most, memory := watch(t, s, c, planned.Stream, started.Executor, window)
			t.Logf("window %d, at most %d bytes in the broker, writer's process %d", window, most, memory)
			if most > window+1<<20 {
				t.Errorf("the broker held %d bytes, the window is %d", most, window)
			}
			if memory > 256<<20 {
				t.Errorf("the writer's process uses %d bytes", memory)
			}
			c.Cancel(t, "held")
			c.AwaitEnd(t, "held")
		})
	}
}

// watch observes the stream until the window is nearly full, and then for a while longer.
func watch(t *testing.T, s *harness.Stack, c *harness.Client, stream, executor string, window uint64) (most uint64, memory int64) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	full := 0
	for deadline := time.Now().Add(harness.Patience); full < 50; {
		<-tick.C
		if time.Now().After(deadline) {
			t.Fatalf("the window of %d is not used: %d bytes", window, most)
		}
		info, err := c.JS.Stream(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, info.CachedInfo().State.Bytes)
		memory = max(memory, harness.Memory(s.ProgramPID(executor)))
		if most > window*8/10 {
			full++
		}
	}
	return most, memory
}
