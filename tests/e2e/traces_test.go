package e2e

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	tracing "github.com/dagyo/dagyo/pkg/trace"
	"github.com/dagyo/dagyo/services/dagyo/monitor"
	aggregator "github.com/dagyo/dagyo/services/panic-aggregator"
	"github.com/dagyo/dagyo/tests/harness"
	"github.com/dagyo/dagyo/tests/harness/collector"
)

// newTraces returns what exports spans to the collector that the environment names, until the end of the test.
func newTraces(t *testing.T) *monitor.Traces {
	t.Helper()
	out, err := monitor.NewTraces(t.Context(), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := out.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return out
}

// submitTraced submits a flow in a trace.
func submitTraced(t *testing.T, c *harness.Client, flow, document string, of tracing.Context) {
	t.Helper()
	e := event.New(contract.TypeFlowSubmit, "/test", flow, []byte(document), time.Now())
	e.Trace = caller
	m, err := event.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	m.Data = bytes.Replace(m.Data, []byte(caller.Parent), []byte(of.Parent), 1) // also one that is invalid
	m.Data = bytes.Replace(m.Data, []byte(caller.State), []byte(of.State), 1)
	if _, err := c.JS.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

var caller = tracing.Parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=1,other=2")

// A flow has a span, with its phases and jobs below it, and so have flows that fail or are rejected.
func TestTraces(t *testing.T) {
	spans, traces := collector.Start(t), newTraces(t)
	o := harness.DefaultOptions()
	o.Aggregator.Traces = traces.Tracer()
	s := harness.Start(t, o)
	c := s.Client(t)
	applyGood(t, c, 10, 1)
	for _, name := range []string{"go-panics", "never-starts"} {
		c.ApplyFaulty(t, harness.Faulty{Name: name, Out: true})
	}
	for flow, x := range map[string]struct {
		document, tree string
		root           map[string]string
	}{
		"good": {words, `
flow
  validate
  plan
  queue
  spawn
  job sink sink
  job words words
`, map[string]string{"dagyo.flow.verdict": "completed"}},
		"bad": {`{"nodes": {"bad": {"progdef": "go-panics"}}, "outputs": {"o": "bad.out"}}`, `
flow bad panic: error
  validate
  plan
  queue
  spawn
  job go-panics bad panic: error
`, map[string]string{"dagyo.flow.verdict": "panic", "dagyo.panic.kind": "error", "dagyo.node": "bad"}},
		"wrong": {alone("nosuch"), `
flow rejected: unknown-progdef
  validate rejected: unknown-progdef
`, map[string]string{"dagyo.flow.verdict": "rejected", "dagyo.problem.code": "unknown-progdef"}},
	} {
		t.Run(flow, func(t *testing.T) {
			submitTraced(t, c, flow, x.document, caller)
			c.AwaitEnd(t, flow)
			got := spans.Of(t, flow, strings.Count(x.tree, "\n")-1)
			slices.SortStableFunc(got, func(a, b collector.Span) int { return strings.Compare(kindOf(a), kindOf(b)) })
			if tree := "\n" + collector.Tree(got); tree != x.tree {
				t.Errorf("%s\nwant%s", tree, x.tree)
			}
			for _, span := range got {
				if span.Trace != caller.TraceID() || span.State != caller.State || span.Service != "dagyo" || span.End.Before(span.Start) {
					t.Errorf("%+v", span)
				}
				if span.Name != "flow" {
					continue
				}
				for name, value := range x.root {
					if span.Parent != caller.SpanID() || span.Attributes[name] != value {
						t.Errorf("%s is %q; want %q; %+v", name, span.Attributes[name], value, span)
					}
				}
			}
		})
	}
}

// A context that is not sampled gives no spans. Without a valid one, the flow begins a trace.
func TestTracesThatAreBegun(t *testing.T) {
	spans, traces := collector.Start(t), newTraces(t)
	o := harness.DefaultOptions()
	o.Aggregator.Traces = traces.Tracer()
	s := harness.Start(t, o)
	c := s.Client(t)
	applyGood(t, c, 10, 1)
	submitTraced(t, c, "unsampled", words, tracing.Parse(strings.TrimSuffix(caller.Parent, "1")+"0", ""))
	completed(t, c.AwaitEnd(t, "unsampled"))
	submitTraced(t, c, "unsampled-wrong", alone("nosuch"), tracing.Parse(strings.TrimSuffix(caller.Parent, "1")+"0", ""))
	c.AwaitEnd(t, "unsampled-wrong")
	for flow, of := range map[string]tracing.Context{
		"by-client": tracing.New("by-client"), "by-garbage": {Parent: "00-x", State: "=,"}, "by-zeros": {Parent: strings.Repeat("0", 55), State: "a=1"},
	} {
		submitTraced(t, c, flow, words, of)
		completed(t, c.AwaitEnd(t, flow))
		for _, span := range spans.Of(t, flow, 7) {
			if span.Name == "flow" && span.Parent != "" || flow == "by-client" && span.Trace != of.TraceID() {
				t.Errorf("%+v", span)
			}
		}
		validated := c.Await(t, "", harness.Is(contract.TypeFlowValidated, flow))
		started := c.Await(t, "", harness.Is(contract.TypeJobStarted, flow))
		for _, span := range spans.Of(t, flow, 7) {
			if span.Trace != validated.Trace.TraceID() {
				t.Errorf("a span of trace %s; want %s", span.Trace, validated.Trace.TraceID())
			}
			if span.Attributes["dagyo.node"] == started.Data.(*contract.JobStarted).Job && span.ID != started.Trace.SpanID() {
				t.Errorf("the job's span is %s; its executor has %s", span.ID, started.Trace.SpanID())
			}
		}
	}
	if n := spans.Count(); n != 3*7 {
		t.Errorf("%d spans", n)
	}
}

// Spans arrive once, whichever replicas lead: also those of a flow whose services crash and are replaced while it runs.
func TestTracesCountOnce(t *testing.T) {
	spans, first, second := collector.Start(t), newTraces(t), newTraces(t)
	o := harness.DefaultOptions()
	o.Replicas = 2
	o.Aggregator.Traces = first.Tracer()
	s := harness.Start(t, o)
	c := s.Client(t)
	applyGood(t, c, 10, 1)
	planned := start(t, c, "across", fed("sink", "5m"))
	s.Reconfigure(func(o *harness.Options) { o.Aggregator.Traces = second.Tracer() })
	s.RestartAll(t) // like a crash
	c.Submit(t, "between", words)
	completed(t, c.AwaitEnd(t, "between"))
	spans.Of(t, "between", 7)
	for _, name := range harness.Services {
		s.StopService(t, name)
	}
	s.StartAll(t)
	closeInput(t, c, planned)
	completed(t, c.AwaitEnd(t, "across"))
	spans.Of(t, "across", 6)
	for _, name := range harness.Services {
		s.StopService(t, name)
	}
	for _, traces := range []*monitor.Traces{first, second} { // now the collector has all that was ever exported
		if err := traces.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	for flow, n := range map[string]int{"between": 7, "across": 6} {
		got := spans.Of(t, flow, n)
		if ids := idsOf(got); len(got) != n || len(ids) != n {
			t.Errorf("flow %s has %d spans, %d of them different; want %d:\n%s", flow, len(got), len(ids), n, collector.Tree(got))
		}
	}
	if root := spans.Of(t, "across", 6)[0]; root.Name != "flow" || root.End.Sub(root.Start) <= 0 {
		t.Errorf("%+v", root)
	}
}

// lost are spans that a leader has not sent when it crashes.
type lost struct{}

func (lost) Export([]tracing.Span) {}

// What a leader has not sent when it crashes, the next one sends.
func TestTracesOfACrashedLeader(t *testing.T) {
	spans, traces := collector.Start(t), newTraces(t)
	o := harness.DefaultOptions()
	o.Aggregator.Traces = tracing.To(lost{})
	s := harness.Start(t, o)
	c := s.Client(t)
	applyGood(t, c, 10, 1)
	c.Submit(t, "unsent", words)
	completed(t, c.AwaitEnd(t, "unsent"))
	s.Reconfigure(func(o *harness.Options) { o.Aggregator.Traces = traces.Tracer() })
	s.KillService(t, aggregator.Name)
	s.StartService(t, aggregator.Name)
	if got := spans.Of(t, "unsent", 7); len(got) != 7 {
		t.Errorf("%d spans:\n%s", len(got), collector.Tree(got))
	}
}

func idsOf(spans []collector.Span) map[string]bool {
	ids := make(map[string]bool)
	for _, s := range spans {
		ids[s.Trace+s.ID] = true
	}
	return ids
}

// kindOf sorts phases in their order before jobs by their names.
func kindOf(s collector.Span) string {
	phases := []string{"flow", "validate", "plan", "queue", "spawn"}
	if i := slices.Index(phases, s.Name); i >= 0 {
		return fmt.Sprint(i)
	}
	return s.Name
}
