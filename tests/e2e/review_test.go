package e2e

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/tests/harness"
)

// Edges in memory do not outlive their broker: the flow panics instead of hanging.
func TestEdgesInMemoryAreLostWithTheBroker(t *testing.T) {
	o := harness.DefaultOptions()
	o.Planner.EdgeStorage = jetstream.MemoryStorage
	s := harness.Start(t, o)
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "trickles", Out: true, Silence: "10s"})
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Silence: "10s"})
	c.Submit(t, "memory", `{"nodes": {"from": {"progdef": "trickles"}, "to": {"progdef": "sink"}},
		"edges": [{"from": "from.out", "to": "to.in"}]}`)
	for _, job := range []string{"from", "to"} {
		c.Await(t, "start of "+job, func(e contract.Event) bool {
			d, ok := e.Data.(*contract.JobStarted)
			return ok && d.Job == job
		})
	}
	s.Server.Restart(t)
	if got := panicked(t, c.AwaitEnd(t, "memory")).Cause; got.Kind != contract.KindLostEdges {
		t.Errorf("cause %+v, want protocol", got)
	}
	oneEnd(t, c, "memory")
}

// Services recreate deleted consumers.
func TestDeletedConsumersAreRecreated(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	applyGood(t, c, 10, 1)
	c.Submit(t, "before", words)
	completed(t, c.AwaitEnd(t, "before"))
	events, err := c.JS.Stream(t.Context(), contract.StreamEvents)
	if err != nil {
		t.Fatal(err)
	}
	names := events.ConsumerNames(t.Context())
	deleted := 0
	for name := range names.Name() {
		if err := events.DeleteConsumer(t.Context(), name); err != nil {
			t.Fatal(err)
		}
		deleted++
	}
	if names.Err() != nil || deleted < len(harness.Services) {
		t.Fatalf("%d consumers of EVENTS were deleted, %v; want one of each service", deleted, names.Err())
	}
	c.Submit(t, "after", words)
	completed(t, c.AwaitEnd(t, "after"))
}

// Constants up to the capacity of an edge arrive completely. Larger ones are rejected, and block nothing.
func TestLargeConstants(t *testing.T) {
	o := harness.DefaultOptions()
	o.Planner.Limits.Window = 400_000
	s := harness.Start(t, o)
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Slots: 10})
	flow := func(records int) string {
		values := strings.TrimSuffix(strings.Repeat(`"`+strings.Repeat("x", 10_000)+`",`, records), ",")
		return fmt.Sprintf(`{"nodes": {"to": {"progdef": "sink", "with": {"in": [%s]}}}}`, values)
	}
	c.Submit(t, "fits", flow(15))
	c.Submit(t, "too-long", flow(40))
	if got := completed(t, c.AwaitEnd(t, "fits")).Edges[0].Received; *got != (contract.Count{Records: 15, Bytes: 150_000}) {
		t.Errorf("received %+v", got)
	}
	expect(t, c.AwaitEnd(t, "too-long").Data.(*contract.FlowRejected).Problems, problem.TooLarge, "/nodes")
}

// A cancel that cannot be read is answered.
func TestMalformedCancel(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.Command(t, contract.TypeFlowCancel, "f", map[string]any{"flow": "f", "reason": 5})
	e := c.Await(t, "dead letter", func(e contract.Event) bool { return e.Type == contract.TypeDeadLetter })
	expect(t, e.Data.(*contract.DeadLetter).Problems, problem.SchemaMismatch, "*")
}

// A program that cannot be started as its progdef requires fails its flow at the first attempt.
func TestUnstartableProgdef(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.Apply(t, `{"name": "missing", "inputs": {}, "outputs": {}, "command": ["no-such-program"]}`)
	for i := range 5 {
		id := fmt.Sprintf("missing-%d", i)
		c.Submit(t, id, `{"nodes": {"m": {"progdef": "missing"}}}`)
		got := panicked(t, c.AwaitEnd(t, id)).Cause
		if got.Kind != contract.KindCrash || !strings.Contains(got.Message, "no-such-program") {
			t.Errorf("cause %+v, want a crash that names the program", got)
		}
	}
}

// Events that exceed the message size travel by reference, transparently.
func TestEventsAboveMaxPayload(t *testing.T) {
	o := harness.DefaultOptions()
	o.MaxPayload = 300_000
	s := harness.Start(t, o)
	c := s.Client(t)
	applyGood(t, c, 1000, 1)
	const count = 400
	var nodes []string
	for i := range count {
		nodes = append(nodes, fmt.Sprintf(`"s%d": {"progdef": "sink", "with": {"in": ["%s"]}}`,
			i, strings.Repeat("x", 1000)))
	}
	document := `{"nodes": {` + strings.Join(nodes, ",") + `}}`
	e := event.New(contract.TypeFlowSubmit, "/test", "size", []byte(document), time.Now())
	m, err := c.Encode(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(m.Data, []byte(`"dataref":"nats-object://data/`)) {
		t.Errorf("a submission of %d bytes was not sent by reference", len(m.Data))
	}
	if _, err := c.JS.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	c.Await(t, "completion", harness.Is(contract.TypeFlowCompleted, "size"))
	planned := c.Await(t, "plan", harness.Is(contract.TypeFlowPlanned, "size"))
	if got := len(planned.Data.(*contract.FlowPlanned).Jobs); got != count {
		t.Errorf("%d jobs planned, want %d", got, count)
	}
}
