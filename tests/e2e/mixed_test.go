package e2e

import (
	"fmt"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/harness"
)

// After a thousand flows that complete, panic or are cancelled, nothing of them is left.
func TestThousandMixedFlows(t *testing.T) {
	const flows = 1000
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	applyGood(t, c, 100, 2)
	c.ApplyFaulty(t, harness.Faulty{Name: "returns-error", Out: true, Slots: 100, Max: 2})
	c.ApplyFaulty(t, harness.Faulty{Name: "waits", Out: true, Slots: 100, Max: 2})
	want := map[contract.Type]int{}
	for i := range flows {
		id := fmt.Sprintf("mixed-%d", i)
		switch i % 4 {
		case 0, 1:
			c.Submit(t, id, words)
			want[contract.TypeFlowCompleted]++
		case 2:
			c.Submit(t, id, alone("returns-error"))
			want[contract.TypeFlowPanic]++
		case 3:
			c.Submit(t, id, alone("waits"))
			c.Cancel(t, id)
			want[contract.TypeFlowCancelled]++
		}
	}
	got := map[contract.Type]int{}
	for i := range flows {
		id := fmt.Sprintf("mixed-%d", i)
		e := c.AwaitEnd(t, id)
		got[e.Type]++
		c.Await(t, "clean-up of "+id, harness.Is(contract.TypeFlowCleaned, id))
		oneEnd(t, c, id)
	}
	for typ, n := range want {
		if got[typ] != n {
			t.Errorf("%d times %s, want %d", got[typ], typ, n)
		}
	}
	s.AwaitNothingLeft(t, c)
}
