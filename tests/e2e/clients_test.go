package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/tests/harness"
)

// A submission of another document under a used id is answered, and does not affect the flow with that id.
func TestAnotherDocumentUnderAUsedID(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true})
	planned := start(t, c, "one", fed("sink", "1h"))
	refused := func(when string, n int) {
		t.Helper()
		c.Submit(t, "one", fed("sink", fmt.Sprintf("%dm", n)))
		c.Await(t, "answer "+when, func(e contract.Event) bool {
			d, ok := e.Data.(*contract.DeadLetter)
			return ok && d.Subject == string(contract.TypeFlowSubmit) && d.Sequence == e.Cause && len(d.Problems) == 1 &&
				d.Problems[0].Code == problem.IDTaken && d.Source != "" && d.ID != "" && d.Excerpt != "" && len(c.Events(isDeadLetter)) == n
		})
	}
	refused("while the flow is running", 1)
	c.Submit(t, "one", " "+fed("sink", "1h")) // the same submission
	halt(t, c, planned.Inputs["in"])
	completed(t, c.AwaitEnd(t, "one"))
	c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, "one"))
	refused("after it has ended", 2)
	s.RestartAll(t)
	refused("after a restart", 3)
	c.Submit(t, "one", fed("sink", "1h"))
	c.Submit(t, "marker", empty)
	c.Await(t, "marker", harness.Is(contract.TypeFlowCleaned, "marker"))
	if n := len(c.Events(isDeadLetter)); n != 3 {
		t.Errorf("%d dead letters, want 3: the same document is the same submission", n)
	}
	if n := len(c.Events(harness.Is(contract.TypeFlowValidated, "one"))); n != 1 {
		t.Errorf("the flow was validated %d times", n)
	}
	oneEnd(t, c, "one")
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
