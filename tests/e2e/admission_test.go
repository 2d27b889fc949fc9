package e2e

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/spawner"
	"github.com/dagyo/dagyo/services/spawner/admission"
	"github.com/dagyo/dagyo/services/validator"
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

// The limits of a user hold, also after a change of leaders. What is beyond them waits or is rejected, and says why.
func TestLimitsOfAUser(t *testing.T) {
	o := harness.DefaultOptions()
	o.Spawner.Limits.User = admission.Quota{Flows: 1, Waiting: 1, Slots: 2}
	s := harness.Start(t, o)
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Slots: 5, Max: 1})
	first := start(t, c, "first", fed("sink", "10m"))
	c.Submit(t, "second", fed("sink", "10m"))
	queued := c.Await(t, "queue", harness.Is(contract.TypeFlowQueued, "second")).Data.(*contract.FlowQueued)
	want := contract.Shortage{What: contract.WhatUserFlows, Needed: 1, Held: 1, Limit: 1}
	if len(queued.Shortage) != 1 || queued.Place != 1 || !reflect.DeepEqual(queued.Shortage[0], want) {
		t.Errorf("the second flow waits for %+v, want %+v", queued, want)
	}
	s.KillService(t, spawner.Name)
	s.StartService(t, spawner.Name)
	c.Submit(t, "third", fed("sink", "10m"))
	rejected(t, c, "third", problem.QueueFull)
	c.Submit(t, "wide", `{"nodes": {"a": {"progdef": "sink"}, "b": {"progdef": "sink"}, "c": {"progdef": "sink"}},
		"inputs": {"a": "a.in", "b": "b.in", "c": "c.in"}}`)
	rejected(t, c, "wide", problem.NeverFits)
	closeInput(t, c, first)
	fine(t, c.AwaitEnd(t, "first"))
	c.Await(t, "grant", harness.Is(contract.TypeFlowSpawned, "second"))
	closeInput(t, c, c.Await(t, "plan", harness.Is(contract.TypeFlowPlanned, "second")).Data.(*contract.FlowPlanned))
	fine(t, c.AwaitEnd(t, "second"))
}

// No more submissions are accepted than the limit allows by the broker's clock; each of the others is rejected.
func TestLimitsOnSubmissions(t *testing.T) {
	o := harness.DefaultOptions()
	o.Validator.Limits.Submissions = validator.Rates{User: 1, Burst: time.Second}
	s := harness.Start(t, o)
	c := s.Client(t)
	const flows = 40
	for i := range flows {
		c.Submit(t, fmt.Sprintf("f-%d", i), `{"nodes": {}}`)
		if i == flows/2 {
			s.KillService(t, validator.Name)
			s.StartService(t, validator.Name)
		}
	}
	refused := 0
	for i := range flows {
		end := c.AwaitEnd(t, fmt.Sprintf("f-%d", i))
		if d, no := end.Data.(*contract.FlowRejected); no {
			if refused++; len(d.Problems) != 1 || d.Problems[0].Code != problem.RateLimited {
				t.Errorf("rejected with %v", d.Problems)
			}
		}
	}
	if refused == 0 {
		t.Errorf("all of %d submissions are accepted", flows)
	}
}

// rejected waits for the rejection of a flow, and checks its only problem.
func rejected(t *testing.T, c *harness.Client, flow string, code problem.Code) {
	t.Helper()
	d, ok := c.AwaitEnd(t, flow).Data.(*contract.FlowRejected)
	if !ok || len(d.Problems) != 1 || d.Problems[0].Code != code {
		t.Errorf("flow %s: %+v, want a rejection with %s", flow, d, code)
	}
}
