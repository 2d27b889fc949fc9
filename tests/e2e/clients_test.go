package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/history"
	"github.com/dagyo/dagyo/pkg/problem"
	aggregator "github.com/dagyo/dagyo/services/panic-aggregator"
	"github.com/dagyo/dagyo/services/validator"
	"github.com/dagyo/dagyo/tests/harness"
)

// Whoever submits under an id that is used learns of it, and the flow that has the id goes on.
func TestAnotherDocumentUnderAnID(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true})
	planned := start(t, c, "one", fed("sink", "1h"))
	answered := func(when, document string, code problem.Code, n int) {
		t.Helper()
		c.Submit(t, "one", document)
		c.Await(t, "answer "+when, func(e contract.Event) bool {
			d, ok := e.Data.(*contract.DeadLetter)
			return ok && d.Subject == string(contract.TypeFlowSubmit) && d.Sequence == e.Cause && len(d.Problems) == 1 &&
				d.Problems[0].Code == code && d.Source != "" && d.ID != "" && d.Excerpt != "" && len(c.Events(isDeadLetter)) == n
		})
	}
	refused := func(when string, n int) {
		t.Helper()
		answered(when, fed("sink", fmt.Sprintf("%dm", n)), problem.IDTaken, n-1)
		answered(when, " "+fed("sink", "1h"), problem.Resubmitted, n)
	}
	refused("while the flow runs", 2)
	halt(t, c, planned.Inputs["in"])
	completed(t, c.AwaitEnd(t, "one"))
	c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, "one"))
	refused("when it has ended", 4)
	s.RestartAll(t)
	refused("after a restart", 6)
	if n := len(c.Events(harness.Is(contract.TypeFlowValidated, "one"))); n != 1 {
		t.Errorf("the flow was validated %d times", n)
	}
	oneEnd(t, c, "one")
}

// A flow that only history has keeps its id and its outcome: each submission under its id is answered with a dead letter,
// also one that cannot be decoded, and nothing is listed as waiting.
func TestSubmissionsUnderIDsInHistory(t *testing.T) {
	const nothing = `{"nodes": {}}`
	o := harness.DefaultOptions()
	o.Without = harness.Services
	s := harness.Start(t, o)
	c := s.Client(t)
	link, err := broker.Connect(t.Context(), broker.Options{URL: s.Server.ClientURL(), Name: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	ended := contract.FlowStatus{
		Flow: "old", Phase: contract.TypeFlowCleaned, Verdict: contract.TypeFlowCompleted,
		Document: document.Digest([]byte(nothing)), Submitted: time.Unix(1_000_000, 0), Updated: time.Unix(1_000_000, 0),
	}
	if _, err := link.JS.CreateStream(t.Context(), history.StreamConfig(1, history.DefaultLimits())); err != nil {
		t.Fatal(err)
	}
	if err := history.NewWriter(link).Append(t.Context(), []contract.FlowStatus{ended}, 1); err != nil {
		t.Fatal(err)
	}
	s.StartService(t, validator.Name)
	s.StartService(t, aggregator.Name)
	c.Submit(t, "old", " "+nothing)
	c.Submit(t, "old", `{"nodes": {"x": {"progdef": "none"}}}`)
	torn := nats.NewMsg(string(contract.TypeFlowSubmit))
	torn.Data = []byte(`{"specversion":"1.0","id":"i","type":"flow.submit","source":"/t","subject":"old","data":`)
	if _, err := c.JS.PublishMsg(t.Context(), torn); err != nil {
		t.Fatal(err)
	}
	for _, want := range []problem.Code{problem.Resubmitted, problem.IDTaken, problem.NotJSON} {
		c.Await(t, "answer "+string(want), func(e contract.Event) bool {
			d, ok := e.Data.(*contract.DeadLetter)
			return ok && d.Problems[0].Code == want
		})
	}
	if got := c.Events(func(e contract.Event) bool { return e.Flow() == "old" && e.Type != contract.TypeFlowSubmit }); len(got) > 0 {
		t.Errorf("the flow that has ended got %v", got)
	}
	awaitList(t, c, func(page contract.FlowPage) bool {
		return len(page.Flows) == 1 && page.Flows[0].Phase == contract.TypeFlowCleaned
	})
}

// awaitList waits for a list of flows. The panic-aggregator may not answer yet, and events may be on their way to it.
func awaitList(t *testing.T, c *harness.Client, match func(contract.FlowPage) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	for {
		var page contract.FlowPage
		m, err := c.RequestWithContext(ctx, contract.AskFlowList, nil)
		if err == nil {
			err = json.Unmarshal(m.Data, &page)
		}
		switch {
		case err == nil && match(page):
			return
		case ctx.Err() != nil:
			t.Fatalf("listed are %+v, %v", page.Flows, err)
		}
	}
}

func isDeadLetter(e contract.Event) bool { return e.Type == contract.TypeDeadLetter }

// The status of a running flow shows its edges and what waits for a client; that of an ended flow shows the counts of
// both ends.
func TestCountsOfClients(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.ApplyStandard(t)
	planned := start(t, c, "shout", `{"nodes": {"hello": {"progdef": "greet"}}, "inputs": {"words": "hello.name"}, "outputs": {"loud": "hello.greeting"}}`)
	running, _ := status(t, c, "shout")
	waits := []contract.ClientWait{{Input: "words"}, {Output: "loud"}}
	if !slices.Equal(running.Waits, waits) || len(running.Edges) != 2 {
		t.Errorf("waits for %+v with edges %+v", running.Waits, running.Edges)
	}
	halt(t, c, planned.Inputs["words"])
	ended := completed(t, c.AwaitEnd(t, "shout"))
	fed := ended.Edges[slices.IndexFunc(ended.Edges, func(e contract.EdgeCount) bool { return e.From == "inputs.words" })]
	if want := (contract.Count{Records: 1, Bytes: 6}); fed.Sent == nil || *fed.Sent != want || *fed.Received != want {
		t.Errorf("fed %+v", fed)
	}
	got := readAll(t, c, planned.Outputs["loud"])
	size := int64(len(got[0]))
	body, err := json.Marshal(contract.Release{Read: map[string]contract.OutputCount{
		"loud": {Count: contract.Count{Records: 1, Bytes: size}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Publish(contract.ReleaseSubject("shout"), body); err != nil {
		t.Fatal(err)
	}
	cleaned := c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, "shout")).Data.(*contract.FlowCleaned)
	if n := cleaned.Read["loud"]; n.Records != 1 || n.Bytes != size {
		t.Errorf("read %+v", cleaned.Read)
	}
	after, _ := status(t, c, "shout")
	for deadline := time.Now().Add(harness.Patience); after.Phase != contract.TypeFlowCleaned; after, _ = status(t, c, "shout") {
		if time.Now().After(deadline) { // the event may not have reached the service that answers
			t.Fatalf("the status does not show the clean-up: %+v", after)
		}
	}
	read := after.Edges[slices.IndexFunc(after.Edges, func(e contract.EdgeCount) bool { return e.To == "outputs.loud" })]
	if read.Received == nil || read.Received.Bytes != size || read.Sent == nil || *read.Sent != *read.Received {
		t.Errorf("status %+v", read)
	}
}
