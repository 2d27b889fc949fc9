package e2e

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/tests/harness"
)

// The four procedures of the original run, and each edge carries the expected records.
func TestOriginalProcedures(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.ApplyStandard(t)
	tests := map[string][]int64{ // records of every edge, in any order
		"chain":        {26, 26, 26},
		"products":     {26, 26, 26, 26, 26 * 26, 26 * 26 * 26},
		"disconnected": {26, 26},
		"empty":        {},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			document, err := os.ReadFile(filepath.Join("..", "flows", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			c.Submit(t, name, string(document))
			done := completed(t, c.AwaitEnd(t, name))
			got := []int64{}
			for _, e := range done.Edges {
				got = append(got, e.Received.Records)
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("records over the edges %v, want %v", got, want)
			}
			c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, name))
		})
	}
}

// A client reads a flow's outputs, also after the flow has ended, until the retention has expired.
func TestReadOutputs(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.ApplyStandard(t)
	c.Submit(t, "outputs", `{
		"nodes": {
			"names": {"const": {"type": "utf8-string", "values": ["Alice", "Bob", "", {"base64": "WsO8cmljaA=="}]}},
			"hello": {"progdef": "greet"},
			"again": {"progdef": "greet", "with": {"name": ["Carol"]}}
		},
		"edges": [{"from": "names.out", "to": "hello.name"}],
		"outputs": {"greetings": "hello.greeting", "more": "again.greeting"}
	}`)
	planned := c.Await(t, "plan", harness.Is(contract.TypeFlowPlanned, "outputs")).Data.(*contract.FlowPlanned)
	if got, want := readAll(t, c, planned.Outputs["greetings"]), []string{"hello Alice", "hello Bob", "hello ", "hello Zürich"}; !slices.Equal(got, want) {
		t.Errorf("greetings %q, want %q", got, want)
	}
	completed2 := c.AwaitEnd(t, "outputs")
	if completed2.Type != contract.TypeFlowCompleted {
		t.Fatalf("%s: %+v", completed2.Type, completed2.Data)
	}
	if got, want := readAll(t, c, planned.Outputs["more"]), []string{"hello Carol"}; !slices.Equal(got, want) {
		t.Errorf("more %q, want %q", got, want)
	}
	if err := c.Publish(contract.ReleaseSubject("outputs"), nil); err != nil {
		t.Fatal(err)
	}
	c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, "outputs"))
}

// A release that arrives before the outputs are read loses no record, and takes effect when they are read.
func TestEarlyRelease(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.ApplyStandard(t)
	early := func() {
		t.Helper()
		if err := c.Publish(contract.ReleaseSubject("early"), nil); err != nil {
			t.Fatal(err)
		}
		c.AwaitFlush(t)
	}
	c.Submit(t, "early", `{"nodes": {
			"hello": {"progdef": "greet", "with": {"name": ["Alice", "Bob"]}},
			"again": {"progdef": "greet", "with": {"name": ["Carol"]}}
		}, "outputs": {"greetings": "hello.greeting", "more": "again.greeting"}}`)
	planned := c.Await(t, "plan", harness.Is(contract.TypeFlowPlanned, "early")).Data.(*contract.FlowPlanned)
	early()
	if end := c.AwaitEnd(t, "early"); end.Type != contract.TypeFlowCompleted {
		t.Fatalf("%s: %+v", end.Type, end.Data)
	}
	early()
	if got, want := readAll(t, c, planned.Outputs["greetings"]), []string{"hello Alice", "hello Bob"}; !slices.Equal(got, want) {
		t.Errorf("greetings %q, want %q", got, want)
	}
	early()
	if got, want := readAll(t, c, planned.Outputs["more"]), []string{"hello Carol"}; !slices.Equal(got, want) {
		t.Errorf("more %q, want %q", got, want)
	}
	c.Await(t, "clean-up", harness.Is(contract.TypeFlowCleaned, "early"))
}

// A client writes a flow's inputs.
func TestWriteInputs(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.ApplyStandard(t)
	c.Submit(t, "inputs", `{"nodes": {"hello": {"progdef": "greet"}},
		"inputs": {"names": "hello.name"}, "outputs": {"greetings": "hello.greeting"}}`)
	planned := c.Await(t, "plan", harness.Is(contract.TypeFlowPlanned, "inputs")).Data.(*contract.FlowPlanned)
	w, err := stream.NewWriter(c.JS, planned.Inputs["names"])
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Send(t.Context(), []byte("Dora")), w.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	if got, want := readAll(t, c, planned.Outputs["greetings"]), []string{"hello Dora"}; !slices.Equal(got, want) {
		t.Errorf("greetings %q, want %q", got, want)
	}
	if end := c.AwaitEnd(t, "inputs"); end.Type != contract.TypeFlowCompleted {
		t.Errorf("%s: %+v", end.Type, end.Data)
	}
}

// When a reader closes its input early, the writer ends without a failure.
func TestEarlyClose(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "endless", Out: true})
	c.ApplyFaulty(t, harness.Faulty{Name: "takes-one", In: true})
	c.Submit(t, "head", `{"nodes": {"from": {"progdef": "endless"}, "to": {"progdef": "takes-one"}},
		"edges": [{"from": "from.out", "to": "to.in"}]}`)
	done := completed(t, c.AwaitEnd(t, "head"))
	if e := done.Edges[0]; !e.ClosedEarly || e.Received.Records != 1 || e.Sent.Records < 1 {
		t.Errorf("edge %+v, want one record received and closed early", e)
	}
}

func readAll(t *testing.T, c *harness.Client, a contract.Address) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	r, err := stream.NewReader(c.JS, a)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Abort()
	out := []string{}
	for {
		record, err := r.Recv(ctx)
		if errors.Is(err, io.EOF) {
			if err := r.Settle(ctx); err != nil {
				t.Error(err)
			}
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, string(record))
	}
}
