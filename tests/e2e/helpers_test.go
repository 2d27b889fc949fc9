package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/harness"
)

// alone returns a flow of one faulty node whose output goes to a sink.
func alone(progdef string) string {
	return fmt.Sprintf(`{"nodes": {"bad": {"progdef": %q}, "sink": {"progdef": "sink"}},
		"edges": [{"from": "bad.out", "to": "sink.in"}]}`, progdef)
}

// words is a good flow.
const words = `{"nodes": {"words": {"progdef": "words"}, "sink": {"progdef": "sink"}},
	"edges": [{"from": "words.out", "to": "sink.in"}]}`

// applyGood applies the progdefs of words.
func applyGood(t *testing.T, c *harness.Client, slots, executors int) {
	t.Helper()
	c.ApplyFaulty(t, harness.Faulty{Name: "words", Out: true, Slots: slots, Max: executors})
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Slots: slots, Max: executors})
}

func completed(t *testing.T, e contract.Event) *contract.FlowCompleted {
	t.Helper()
	d, ok := e.Data.(*contract.FlowCompleted)
	if !ok {
		t.Fatalf("%s of %s: %+v; want flow.completed", e.Type, e.Subject, e.Data)
	}
	for _, x := range d.Edges {
		read := !strings.HasPrefix(x.To, "outputs.") // by a client: its counts arrive when the flow is cleaned up
		if !x.ClosedEarly && (x.Sent == nil || read && (x.Received == nil || *x.Sent != *x.Received)) {
			t.Errorf("%s: edge %s -> %s: sent %v, received %v", e.Subject, x.From, x.To, x.Sent, x.Received)
		}
	}
	return d
}

func panicked(t *testing.T, e contract.Event) *contract.FlowPanic {
	t.Helper()
	d, ok := e.Data.(*contract.FlowPanic)
	if !ok {
		t.Fatalf("%s of %s: %+v; want flow.panic", e.Type, e.Subject, e.Data)
	}
	return d
}

// oneEnd checks that the flow has exactly one verdict or rejection so far.
func oneEnd(t *testing.T, c *harness.Client, flow string) {
	t.Helper()
	if ends := c.Events(harness.Ended(flow)); len(ends) != 1 {
		t.Errorf("flow %s has %d ends, want 1: %+v", flow, len(ends), ends)
	}
}
