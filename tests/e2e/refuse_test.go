package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/tests/harness"
)

// If several flows are granted together, only the one that cannot be started is rejected.
func TestRefusedEffectRejectsItsFlow(t *testing.T) {
	o := harness.DefaultOptions()
	s := harness.Start(t, o)
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "words", Out: true, Slots: 20, Max: 1})
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Slots: 1, Max: 1})
	// The first holds the only slot of sink, which all others wait for.
	start(t, c, "holder", fed("sink", "1m"))
	var good []string
	for i := range 6 {
		id := fmt.Sprintf("good-%d", i)
		good = append(good, id)
		c.Submit(t, id, words)
		c.Await(t, "queue", harness.Is(contract.TypeFlowQueued, id))
	}
	// too-long is rejected, which must not affect the others.
	planned := c.Await(t, "plan", harness.Is(contract.TypeFlowPlanned, "good-3")).Data.(*contract.FlowPlanned)
	if len(planned.Jobs) != 2 {
		t.Fatalf("%d jobs, want 2", len(planned.Jobs))
	}
	c.Submit(t, "too-long", fmt.Sprintf(`{"nodes": {"to": {"progdef": "sink", "with": {"in": [%s]}}}}`,
		strings.TrimSuffix(strings.Repeat(`"`+strings.Repeat("x", 60_000)+`",`, 100), ",")))
	if end := c.AwaitEnd(t, "too-long"); end.Type != contract.TypeFlowRejected {
		t.Errorf("%s of too-long, want flow.rejected", end.Type)
	}
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Slots: 1, Max: 20}) // there is room for all at once
	for _, id := range good {
		completed(t, c.AwaitEnd(t, id))
		c.Await(t, "clean-up of "+id, harness.Is(contract.TypeFlowCleaned, id))
		oneEnd(t, c, id)
	}
}

// Every message that cannot be processed has its own dead letter, however many arrive at once.
func TestEveryDeadLetterIsPublished(t *testing.T) {
	const messages = 300
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true}) // everything is running
	sent := make(map[uint64]bool)
	for i := range messages {
		subject := []string{"job.done.x.y", "events.flow.planned.x", "executor.exited.x.y", "progdef.apply", "flow.cancel"}[i%5]
		sent[send(t, c, subject, nil, []byte("nonsense"))] = true
	}
	for seq := range sent {
		c.Await(t, fmt.Sprintf("dead letter about message %d", seq), func(e contract.Event) bool {
			d, ok := e.Data.(*contract.DeadLetter)
			return ok && d.Sequence == seq
		})
	}
	told := make(map[uint64]int)
	for _, e := range c.Events(func(e contract.Event) bool { return e.Type == contract.TypeDeadLetter }) {
		told[e.Data.(*contract.DeadLetter).Sequence]++
	}
	for seq, n := range told {
		if n != 1 || !sent[seq] {
			t.Errorf("%d dead letters about message %d", n, seq)
		}
	}
}

// The sender of an unreadable message receives the dead letter on a subject that it knows: it ends in the sequence with
// which JetStream acknowledged the message.
func TestSenderGetsItsDeadLetter(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true}) // everything is running
	answers, err := c.SubscribeSync("deadletter.*")
	if err != nil {
		t.Fatal(err)
	}
	c.AwaitFlush(t)
	noName := nats.Header{"ce-specversion": {"1.0"}, "ce-type": {"flow.submit"}, "ce-source": {"/x"}, "ce-id": {"no name"}}
	for what, header := range map[string]nats.Header{"no event": nil, "no flow": noName} {
		subject := fmt.Sprintf("deadletter.%d", send(t, c, "flow.submit", header, []byte(`{"nodes": {}}`)))
		m, err := answers.NextMsg(harness.Patience)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if m.Subject != subject || !strings.Contains(string(m.Data), `"problems"`) {
			t.Errorf("%s: %s on %s, want it on %s", what, m.Data, m.Subject, subject)
		}
	}
}

// A plan that is repeated after its flow has ended does not take a place in the queue.
func TestPlanBehindTheEnd(t *testing.T) {
	o := harness.DefaultOptions()
	o.Spawner.Limits.Executors = 1
	s := harness.Start(t, o)
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true})
	one := fed("sink", "1m")
	planned := start(t, c, "over", one)
	closeInput(t, c, planned)
	fine(t, c.AwaitEnd(t, "over"))
	c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, "over"))
	c.AwaitStored(t, "flow.cleaned.over")
	again := c.Await(t, "plan", harness.Is(contract.TypeFlowPlanned, "over"))
	holder := start(t, c, "holder", one)
	for range 3 {
		m, err := event.Encode(again)
		if err != nil {
			t.Fatal(err)
		}
		m.Subject = again.IngressSubject()
		if _, err := c.JS.PublishMsg(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	c.Submit(t, "next", one)
	if d := c.Await(t, "queue", harness.Is(contract.TypeFlowQueued, "next")).Data.(*contract.FlowQueued); d.Place != 1 {
		t.Errorf("place %d, want 1: an ended flow is in the queue", d.Place)
	}
	closeInput(t, c, holder)
	fine(t, c.AwaitEnd(t, "holder"))
	next := c.Await(t, "plan", harness.Is(contract.TypeFlowPlanned, "next")).Data.(*contract.FlowPlanned)
	closeInput(t, c, next)
	fine(t, c.AwaitEnd(t, "next"))
	oneEnd(t, c, "over")
}

// The reason why a flow is queued is published when it changes, and not more often than useful.
func TestQueuedFlowGetsItsNewReason(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true})
	c.ApplyFaulty(t, harness.Faulty{Name: "stops-late", In: true})
	first := start(t, c, "first", fed("sink", "1m"))
	other := start(t, c, "other", fed("stops-late", "1m"))
	both := `{"nodes": {"a": {"progdef": "sink"}, "b": {"progdef": "stops-late"}}, "inputs": {"x": "a.in", "y": "b.in"}}`
	c.Submit(t, "both", both)
	lacks := func(progdefs ...string) func(contract.Event) bool {
		return func(e contract.Event) bool {
			d, ok := e.Data.(*contract.FlowQueued)
			if !ok || e.Subject != "both" || len(d.Shortage) != len(progdefs) {
				return false
			}
			for i, p := range progdefs {
				if d.Shortage[i].Progdef != p {
					return false
				}
			}
			return true
		}
	}
	c.Await(t, "queue for both", lacks("sink", "stops-late"))
	closeInput(t, c, first)
	fine(t, c.AwaitEnd(t, "first"))
	c.Await(t, "queue for stops-late", lacks("stops-late"))
	// Many events that do not affect it follow.
	for i := range 20 {
		id := fmt.Sprintf("behind-%d", i)
		c.Submit(t, id, fed("stops-late", "1m"))
		c.Await(t, "queue", harness.Is(contract.TypeFlowQueued, id))
		c.Cancel(t, id)
		c.AwaitEnd(t, id)
	}
	if told := c.Events(harness.Is(contract.TypeFlowQueued, "both")); len(told) > 4 {
		t.Errorf("published %d times", len(told))
	}
	closeInput(t, c, other)
	c.Await(t, "grant", harness.Is(contract.TypeFlowSpawned, "both"))
	c.Cancel(t, "both")
	c.AwaitEnd(t, "both")
}
