package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/harness"
)

// The sweep continuously removes mailboxes while flows of many progdefs run: no flow stalls.
func TestSweptMailboxes(t *testing.T) {
	const progdefs, rounds = 8, 12
	o := harness.DefaultOptions()
	o.Planner.SweepEvery = 2 * time.Millisecond
	s := harness.Start(t, o)
	c := s.Client(t)
	var all sync.WaitGroup
	for i := range progdefs {
		name := fmt.Sprintf("sink-%d", i)
		c.Apply(t, fmt.Sprintf(`{"name": %q, "inputs": {"in": "utf8-string"}, "outputs": {}, "command": ["dagyo", "faulty", "sink"],
			"scaling": {"jobsPerExecutor": 2, "maxExecutors": 2, "idleTimeout": "%dms"}}`, name, 1+20*(i%3)))
	}
	for i := range progdefs {
		all.Go(func() {
			name := fmt.Sprintf("sink-%d", i)
			for round := range rounds {
				id := fmt.Sprintf("%s-%d", name, round)
				c.Submit(t, id, fmt.Sprintf(`{"nodes": {"a": {"progdef": %q, "with": {"in": ["x"]}}}}`, name))
				if end := c.AwaitEnd(t, id); end.Type != contract.TypeFlowCompleted {
					t.Errorf("%s of %s: %+v", end.Type, id, end.Data)
				}
				c.Await(t, "clean-up of "+id, harness.Is(contract.TypeFlowCleaned, id))
			}
		})
	}
	all.Wait()
	removed := 0
	for i := range progdefs {
		name := fmt.Sprintf("sink-%d", i)
		removed += len(c.Events(func(e contract.Event) bool {
			return e.Type == contract.TypeExecutorExited && strings.HasPrefix(e.Subject, name+"-")
		}))
	}
	t.Logf("%d executors have exited meanwhile", removed)
	if removed == 0 {
		t.Error("no mailbox became idle: the test is meaningless")
	}
	s.AwaitNothingLeft(t, c)
}
