package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/tests/harness"
)

// applyReporter applies a reporting progdef.
func applyReporter(t *testing.T, c *harness.Client, name string) {
	t.Helper()
	c.Apply(t, fmt.Sprintf(`{"name": %q, "command": ["dagyo", "faulty", %q], "inputs": {"in": "json"},
		"outputs": {"out": "utf8-string"}, "scaling": {"jobsPerExecutor": 4}}`, name, name))
}

// reported returns a flow of a node and a reporter that is connected to the node's panic port.
func reported(node, reporter string) string {
	return fmt.Sprintf(`{"nodes": {"model": {"progdef": %q}, "report": {"progdef": %q}, "sink": {"progdef": "sink"}},
		"edges": [{"from": "model.out", "to": "sink.in"}, {"from": "model.panic", "to": "report.in"}],
		"outputs": {"report": "report.out"}}`, node, reporter)
}

func TestPanicsAreReported(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	applyGood(t, c, 8, 1)
	applyReporter(t, c, "reporter")
	for name, want := range map[string]string{
		"returns-error": "model: error: the model diverged",
		"exits-three":   "model: crash: executor .* exited with code 3",
		"never-starts":  "model: crash: 3 executors of never-starts in a row exited",
	} {
		c.ApplyFaulty(t, harness.Faulty{Name: name, Out: true})
		c.Submit(t, name, reported(name, "reporter"))
		d := panicked(t, c.AwaitEnd(t, name))
		if d.Cause.Job != "model" || len(d.Others) > 0 || d.Jobs["report"].State != contract.JobEnded {
			t.Errorf("%s: %+v", name, d)
		}
		planned := c.Await(t, "plan", harness.Is(contract.TypeFlowPlanned, name)).Data.(*contract.FlowPlanned)
		got := readAll(t, c, planned.Outputs["report"])
		prefix, _, _ := strings.Cut(want, ".*")
		if len(got) != 1 || !strings.HasPrefix(got[0], prefix) {
			t.Errorf("%s: the report is %q, want %s", name, got, want)
		}
		edge := edgeFrom(t, d.Edges, "model.panic")
		if edge.Sent.Records != 1 {
			t.Errorf("%s: %+v", name, edge)
		}
		oneEnd(t, c, name)
	}
}

func edgeFrom(t *testing.T, edges []contract.EdgeCount, from string) contract.EdgeCount {
	t.Helper()
	i := slices.IndexFunc(edges, func(e contract.EdgeCount) bool { return e.From == from })
	if i < 0 {
		t.Fatalf("no edge from %s in %+v", from, edges)
	}
	return edges[i]
}

func TestReporterWithoutPanicEnds(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	applyGood(t, c, 8, 1)
	applyReporter(t, c, "reporter")
	c.Submit(t, "good", reported("words", "reporter"))
	d := completed(t, c.AwaitEnd(t, "good"))
	if edge := edgeFrom(t, d.Edges, "model.panic"); edge.Sent.Records != 0 {
		t.Errorf("%+v", edge)
	}
	planned := c.Await(t, "plan", harness.Is(contract.TypeFlowPlanned, "good")).Data.(*contract.FlowPlanned)
	if got := readAll(t, c, planned.Outputs["report"]); len(got) > 0 {
		t.Errorf("reported %q", got)
	}
}

func TestReportersHaveBoundedTime(t *testing.T) {
	o := harness.DefaultOptions()
	o.Aggregator.Limits.Report = 300 * time.Millisecond
	s := harness.Start(t, o)
	c := s.Client(t)
	applyGood(t, c, 8, 1)
	applyReporter(t, c, "reports-ever")
	c.ApplyFaulty(t, harness.Faulty{Name: "returns-error", Out: true})
	c.Submit(t, "ever", reported("returns-error", "reports-ever"))
	d := panicked(t, c.AwaitEnd(t, "ever"))
	if d.Jobs["report"].State != contract.JobStopped || d.Cause.Message != "the model diverged" {
		t.Errorf("%+v", d)
	}
}

// A client reads a panic like any other output.
func TestPanicIsAnOutput(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	applyGood(t, c, 8, 1)
	c.ApplyFaulty(t, harness.Faulty{Name: "kills-itself", Out: true})
	c.Submit(t, "killed", `{"nodes": {"model": {"progdef": "kills-itself"}, "sink": {"progdef": "sink"}},
		"edges": [{"from": "model.out", "to": "sink.in"}], "outputs": {"failure": "model.panic"}}`)
	panicked(t, c.AwaitEnd(t, "killed"))
	planned := c.Await(t, "plan", harness.Is(contract.TypeFlowPlanned, "killed")).Data.(*contract.FlowPlanned)
	got := readAll(t, c, planned.Outputs["failure"])
	if len(got) != 1 || !strings.Contains(got[0], `"kind":"crash"`) || !strings.Contains(got[0], `"job":"model"`) {
		t.Errorf("read %q", got)
	}
}

// A node that is stopped by a stream is done, its streams end in order, and its flow completes, whatever the source of
// the stream.
func TestStreamsStopNodes(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.ApplyStandard(t)
	applyGood(t, c, 16, 1)
	for _, name := range []string{"endless", "huge", "waits"} {
		c.ApplyFaulty(t, harness.Faulty{Name: name, Out: true, Slots: 4})
	}
	t.Run("a client", func(t *testing.T) {
		for _, name := range []string{"endless", "huge", "waits"} {
			c.Submit(t, "by-client-"+name, fmt.Sprintf(`{
				"nodes": {"camera": {"progdef": %q}, "sink": {"progdef": "sink"}},
				"edges": [{"from": "camera.out", "to": "sink.in"}], "inputs": {"halt": "camera.stop"}}`, name))
			c.Await(t, "start", func(e contract.Event) bool {
				d, ok := e.Data.(*contract.JobStarted)
				return ok && e.Subject == "by-client-"+name && d.Job == "camera"
			})
			planned := c.Await(t, "plan", harness.Is(contract.TypeFlowPlanned, "by-client-"+name)).Data.(*contract.FlowPlanned)
			halt(t, c, planned.Inputs["halt"])
			d := completed(t, c.AwaitEnd(t, "by-client-"+name))
			if e := edgeFrom(t, d.Edges, "camera.out"); e.ClosedEarly {
				t.Errorf("%s: %+v", name, e)
			}
		}
	})
	t.Run("a constant, before it has begun", func(t *testing.T) {
		c.Submit(t, "at-once", `{"nodes": {"camera": {"progdef": "huge", "with": {"stop": ["now"]}}, "sink": {"progdef": "sink"}},
			"edges": [{"from": "camera.out", "to": "sink.in"}]}`)
		completed(t, c.AwaitEnd(t, "at-once"))
	})
	t.Run("a node downstream", func(t *testing.T) {
		c.Submit(t, "downstream", `{"nodes": {"camera": {"progdef": "endless"}, "hello": {"progdef": "greet"}},
			"edges": [{"from": "camera.out", "to": "hello.name"}, {"from": "hello.greeting", "to": "camera.stop"}]}`)
		d := completed(t, c.AwaitEnd(t, "downstream"))
		if e := edgeFrom(t, d.Edges, "hello.greeting"); e.Received.Records != 1 {
			t.Errorf("%+v", e)
		}
	})
	t.Run("an end without a record does not stop the node", func(t *testing.T) {
		c.Submit(t, "nobody", `{"nodes": {"words": {"progdef": "words", "with": {"stop": []}}, "sink": {"progdef": "sink"}},
			"edges": [{"from": "words.out", "to": "sink.in"}]}`)
		d := completed(t, c.AwaitEnd(t, "nobody"))
		if e := edgeFrom(t, d.Edges, "words.out"); e.Sent.Records != 100 {
			t.Errorf("%+v", e)
		}
	})
}

// A program that ignores its stop fails like any other, and its executor takes no more jobs.
func TestDeafProgramsPanic(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	applyGood(t, c, 8, 1)
	c.ApplyFaulty(t, harness.Faulty{Name: "deaf", Out: true})
	c.Submit(t, "deaf", `{"nodes": {"camera": {"progdef": "deaf", "with": {"stop": ["now"]}}, "sink": {"progdef": "sink"}},
		"edges": [{"from": "camera.out", "to": "sink.in"}]}`)
	d := panicked(t, c.AwaitEnd(t, "deaf"))
	if d.Cause.Job != "camera" || d.Cause.Port != "stop" || !strings.Contains(d.Cause.Message, "did not return within") {
		t.Errorf("%+v", d.Cause)
	}
}

func halt(t *testing.T, c *harness.Client, a contract.Address) {
	t.Helper()
	w, err := stream.NewWriter(c.JS, a)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if err := w.Send(t.Context(), []byte("enough")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
