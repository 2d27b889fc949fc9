package e2e

import (
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
	e.Trace = of
	m, err := event.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
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
		"bad": {alone("go-panics"), `
flow bad panic: error
  validate
  plan
  queue
  spawn
  job go-panics bad panic: error
  job sink sink
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

// kindOf sorts phases in their order before jobs by their names.
func kindOf(s collector.Span) string {
	phases := []string{"flow", "validate", "plan", "queue", "spawn"}
	if i := slices.Index(phases, s.Name); i >= 0 {
		return fmt.Sprint(i)
	}
	return s.Name
}
