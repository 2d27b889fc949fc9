package planner

import (
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/trace"
)

// Each job has the context of its own span. The previous version reads no flow.planned with a tracestate in it.
func TestTraceOfJobs(t *testing.T) {
	of := trace.Parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=1")
	s, now := NewState(DefaultLimits(), "0"), time.Unix(1_000_000, 0).UTC()
	for flow, c := range map[string]trace.Context{"f": of, "g": {}} {
		Evolve(s, contract.Event{
			Type: contract.TypeFlowValidated, Subject: flow, Time: now, Trace: c,
			Data: validated([]string{"greet=hello,again", "hello.greeting>again.name", "again.greeting>outputs.x"}),
		})
		effects, _ := Decide(s, flow, now)
		if len(effects) != 1 || effects[0].Trace != c {
			t.Fatalf("%s: %+v", flow, effects)
		}
		for _, j := range effects[0].Data.(*contract.FlowPlanned).Jobs {
			if want := c.Job(flow, j.Job).Parent; j.TraceParent != want || j.TraceState != "" {
				t.Errorf("job %s of %s has the trace %q, %q; want %q", j.Job, flow, j.TraceParent, j.TraceState, want)
			}
		}
	}
}
