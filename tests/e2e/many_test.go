package e2e

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/harness"
)

// The broker restarts while many flows run. Those whose edges are in files go on and complete; those whose edges were
// in memory panic. Each has one end, and nothing is left. `make faults-core` does it with 10,000 flows.
func TestManyFlowsAndARestart(t *testing.T) {
	n := 100
	if os.Getenv(envLong) != "" {
		n = 10_000
	}
	for name, storage := range map[string]jetstream.StorageType{"file": jetstream.FileStorage, "memory": jetstream.MemoryStorage} {
		t.Run(name, func(t *testing.T) {
			o := harness.DefaultOptions()
			o.Planner.EdgeStorage = storage
			s := harness.Start(t, o)
			c := s.Client(t)
			c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Slots: 500, Max: 40, Silence: "30s"})
			ids := make([]string, n)
			began := time.Now()
			for i := range ids {
				ids[i] = fmt.Sprintf("many-%d", i)
				c.Submit(t, ids[i], fed("sink", "1h"))
			}
			plans := make([]*contract.FlowPlanned, n)
			for i, id := range ids {
				plans[i] = c.Await(t, "plan of "+id, harness.Is(contract.TypeFlowPlanned, id)).Data.(*contract.FlowPlanned)
				c.Await(t, "job of "+id, harness.Is(contract.TypeJobStarted, id))
			}
			started := time.Since(began)
			s.Server.Restart(t)
			c.AwaitFlush(t)
			again := time.Now()
			c.Submit(t, "next", fed("sink", "1h"))
			planned := c.Await(t, "plan", harness.Is(contract.TypeFlowPlanned, "next")).Data.(*contract.FlowPlanned)
			closeInput(t, c, planned)
			completed(t, c.AwaitEnd(t, "next"))
			next := time.Since(again)
			verdict := contract.TypeFlowPanic
			if storage == jetstream.FileStorage {
				verdict = contract.TypeFlowCompleted
				for _, planned := range plans {
					closeInput(t, c, planned)
				}
			}
			awaitAll(t, c, verdict, ids)
			ended := time.Since(again)
			awaitAll(t, c, contract.TypeFlowCleaned, ids)
			if ends := c.Events(func(e contract.Event) bool { return contract.IsVerdict(e.Type) }); len(ends) != n+1 {
				t.Errorf("%d verdicts on %d flows", len(ends), n+1)
			}
			s.AwaitNothingLeft(t, c)
			t.Logf("%d flows started in %v; after the restart a new flow took %v, and all others had ended after %v",
				n, started.Round(time.Millisecond), next.Round(time.Millisecond), ended.Round(time.Millisecond))
		})
	}
}

// awaitAll waits for an event of each flow, as long as there is progress.
func awaitAll(t *testing.T, c *harness.Client, kind contract.Type, flows []string) {
	t.Helper()
	missing := make(map[string]bool)
	for _, id := range flows {
		missing[id] = true
	}
	for deadline := time.Now().Add(harness.Patience); len(missing) > 0; <-time.After(100 * time.Millisecond) {
		before := len(missing)
		for _, e := range c.Events(func(e contract.Event) bool { return e.Type == kind }) {
			delete(missing, e.Subject)
		}
		if len(missing) < before {
			deadline = time.Now().Add(harness.Patience)
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d flows have no %s", len(missing), len(flows), kind)
		}
	}
}
