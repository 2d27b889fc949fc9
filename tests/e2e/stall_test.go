package e2e

import (
	"slices"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
	aggregator "github.com/dagyo/dagyo/services/panic-aggregator"
	"github.com/dagyo/dagyo/tests/harness"
)

// A flow in which nothing moves is reported, with what it waits for: once, also if the leader changes, and again
// when something moves.
func TestStall(t *testing.T) {
	o := harness.DefaultOptions()
	o.Aggregator.Limits.StallAfter, o.Planner.Limits.Window = 2*time.Second, 256<<10 // soon full
	s := harness.Start(t, o)
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "endless", Out: true, Slots: 10})
	c.ApplyFaulty(t, harness.Faulty{Name: "never-reads", In: true})
	start(t, c, "held", `{"nodes": {"from": {"progdef": "endless"}, "to": {"progdef": "never-reads"}},
		"edges": [{"from": "from.out", "to": "to.in"}]}`)
	unread := start(t, c, "unread", `{"nodes": {"from": {"progdef": "endless"}}, "outputs": {"o": "from.out"}}`)
	for flow, blocking := range map[string]string{"held": "to", "unread": "outputs.o"} {
		d := c.Await(t, "stall of "+flow, harness.Is(contract.TypeFlowStalled, flow)).Data.(*contract.FlowStalled)
		if !d.Stalled || d.Records != 0 || !slices.Equal(d.Blocking, []string{blocking}) {
			t.Errorf("%s: %+v; want it to wait for %s", flow, d, blocking)
		}
		if len(d.Edges) != 1 || d.Edges[0].Waits != contract.SideWriter || d.Edges[0].Fill < 80 {
			t.Errorf("%s: edges %+v; want a full one", flow, d.Edges)
		}
	}
	s.KillService(t, aggregator.Name)
	s.StartService(t, aggregator.Name)
	r, err := stream.NewReader(c.JS, unread.Outputs["o"])
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	if _, err := r.Recv(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := c.Await(t, "end of the stall", func(e contract.Event) bool {
		d, ok := e.Data.(*contract.FlowStalled)
		return ok && !d.Stalled
	})
	if d := again.Data.(*contract.FlowStalled); again.Subject != "unread" || d.Records != 1 {
		t.Errorf("%s moves again: %+v", again.Subject, d)
	}
	for _, flow := range []string{"held", "unread"} {
		c.Cancel(t, flow)
		c.AwaitEnd(t, flow)
		stalled := false
		for _, e := range c.Events(harness.Is(contract.TypeFlowStalled, flow)) {
			if d := e.Data.(*contract.FlowStalled); d.Stalled == stalled {
				t.Errorf("%s: stalled %t is reported twice", flow, stalled)
			}
			stalled = !stalled
		}
	}
}
