package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/spawner"
	"github.com/dagyo/dagyo/tests/harness"
)

// Flows that hold or want a slot for ever hold back only those who want the same, also after a change of leaders; and
// these go by priority.
func TestAStuckFlowStopsNobodyElse(t *testing.T) {
	o := harness.DefaultOptions()
	s := harness.Start(t, o)
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Slots: 1, Max: 1})
	c.ApplyFaulty(t, harness.Faulty{Name: "words", Out: true, Slots: 5, Max: 2})
	stuck := start(t, c, "stuck", fed("sink", "10m"))
	priority := func(n int) string {
		return strings.Replace(fed("sink", "10m"), "{", fmt.Sprintf(`{"priority": %d, `, n), 1)
	}
	queued := func(id string) contract.FlowQueued {
		return *c.Await(t, "queue", harness.Is(contract.TypeFlowQueued, id)).Data.(*contract.FlowQueued)
	}
	for i, id := range []string{"low", "next"} {
		c.Submit(t, id, priority(i-1))
		if d := queued(id); len(d.Shortage) != 1 || d.Shortage[0].Progdef != "sink" || !slices.Equal(d.Shortage[0].HeldBy, []string{"stuck"}) {
			t.Errorf("%s waits for %+v", id, d)
		}
	}
	c.Submit(t, "late", fed("sink", "1s"))
	late, ok := c.AwaitEnd(t, "late").Data.(*contract.FlowPanic)
	if !ok || !strings.Contains(late.Cause.Message, "it was still waiting for 1 slot of sink (0 of 1 free; held by stuck)") {
		t.Errorf("the deadline passed in the queue: %+v", late)
	}
	c.Submit(t, "urgent", priority(7))
	if d := queued("urgent"); d.Place != 1 || len(d.Behind) > 0 {
		t.Errorf("urgent waits behind %+v", d)
	}
	s.KillService(t, spawner.Name)
	s.StartService(t, spawner.Name)
	for i := range 20 {
		id := fmt.Sprintf("other-%d", i)
		c.Submit(t, id, `{"nodes": {"words": {"progdef": "words"}}, "outputs": {"words": "words.out"}}`)
		completed(t, c.AwaitEnd(t, id))
	}
	closeInput(t, c, stuck)
	fine(t, c.AwaitEnd(t, "stuck"))
	for _, id := range []string{"urgent", "next", "low"} {
		c.Await(t, "grant of "+id, harness.Is(contract.TypeFlowSpawned, id))
		planned := c.Await(t, "plan", harness.Is(contract.TypeFlowPlanned, id)).Data.(*contract.FlowPlanned)
		closeInput(t, c, planned)
		fine(t, c.AwaitEnd(t, id))
	}
	var granted []string
	for _, e := range c.Events(func(e contract.Event) bool { return e.Type == contract.TypeFlowSpawned }) {
		if !strings.HasPrefix(e.Subject, "other") {
			granted = append(granted, e.Subject)
		}
	}
	if want := []string{"stuck", "urgent", "next", "low"}; !slices.Equal(granted, want) {
		t.Errorf("granted in the order %v, want %v", granted, want)
	}
}

// A flow that waits for one that does not end keeps nothing else from others for long, and gets its turn afterwards.
func TestAFlowBehindAStuckOneStopsNobodyElse(t *testing.T) {
	o := harness.DefaultOptions()
	o.Spawner.Limits.ReserveAfter = 100 * time.Millisecond
	s := harness.Start(t, o)
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Slots: 1, Max: 1})
	c.ApplyFaulty(t, harness.Faulty{Name: "words", Out: true, Slots: 1, Max: 1})
	stuck := start(t, c, "stuck", fed("sink", "10m"))
	c.Submit(t, "both", `{"deadline": "10m", "nodes": {"sink": {"progdef": "sink"}, "words": {"progdef": "words"}}, "edges": [{"from": "words.out", "to": "sink.in"}]}`)
	c.Await(t, "queue", harness.Is(contract.TypeFlowQueued, "both"))
	for i := range 30 {
		id := fmt.Sprintf("words-%d", i)
		c.Submit(t, id, `{"deadline": "10m", "nodes": {"words": {"progdef": "words"}}, "outputs": {"words": "words.out"}}`)
		completed(t, c.AwaitEnd(t, id))
	}
	closeInput(t, c, stuck)
	fine(t, c.AwaitEnd(t, "stuck"))
	fine(t, c.AwaitEnd(t, "both"))
}
