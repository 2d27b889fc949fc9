package e2e

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/harness"
)

// The broker is restarted twice in the middle of a stream. Services and executors reconnect, and the flow completes
// with all records in order.
func TestBrokerRestart(t *testing.T) {
	o := harness.DefaultOptions()
	o.Planner.EdgeStorage = jetstream.FileStorage // edges in memory would be lost
	s := harness.Start(t, o)
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "trickles", Out: true})
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true})
	c.Submit(t, "restart", `{"nodes": {"from": {"progdef": "trickles"}, "to": {"progdef": "sink"}},
		"edges": [{"from": "from.out", "to": "to.in"}]}`)
	c.Await(t, "start", func(e contract.Event) bool {
		d, ok := e.Data.(*contract.JobStarted)
		return ok && d.Job == "from"
	})
	for range 2 {
		s.Server.Restart(t)
		c.AwaitFlush(t)
	}
	done := completed(t, c.AwaitEnd(t, "restart"))
	if got := done.Edges[0].Received.Records; got != 300 {
		t.Errorf("%d records arrived, want 300", got)
	}
	c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, "restart"))
	oneEnd(t, c, "restart")
	s.AwaitNothingLeft(t, c)
}
