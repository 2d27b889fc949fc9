package e2e

import (
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/harness"
)

func TestChain(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.ApplyStandard(t)
	c.Submit(t, "chain", `{
		"nodes": {"s": {"progdef": "source"}, "g": {"progdef": "greet"}, "h": {"progdef": "greet"}, "v": {"progdef": "void_sink"}},
		"edges": [{"from": "s.name", "to": "g.name"}, {"from": "g.greeting", "to": "h.name"}, {"from": "h.greeting", "to": "v.in"}]
	}`)
	end := c.AwaitEnd(t, "chain")
	done, ok := end.Data.(*contract.FlowCompleted)
	if !ok {
		t.Fatalf("%s: %+v", end.Type, end.Data)
	}
	for _, e := range done.Edges {
		if e.Sent.Records != 26 || e.Received != e.Sent {
			t.Errorf("edge %s -> %s: sent %v, received %v; want 26 records", e.From, e.To, e.Sent, e.Received)
		}
	}
	c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, "chain"))
}
