package core

import (
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A pair is a state of which something is stored about each flow, and something else.
type pair struct {
	flows map[string]int
	exits int
}

func pairBench() *Core[*pair] {
	logic := Logic[*pair]{
		Name: "pair",
		Evolve: func(s *pair, e contract.Event) []string {
			if e.Type == contract.TypeExecutorExited {
				s.exits++
				for flow := range s.flows {
					s.flows[flow] += 100
				}
			} else if e.Subject != "" {
				s.flows[e.Subject]++
			}
			return nil
		},
		Snapshot: Snapshot[*pair]{
			Rest:  func(s *pair) any { return map[string]int{"exits": s.exits} },
			Flows: func(*pair) []string { return []string{"a", "b", "c"} },
			Flow:  func(s *pair, flow string) map[string]any { return map[string]any{"flows": s.flows[flow]} },
		},
	}
	return New(logic, Limits{Workers: 1}, &pair{flows: make(map[string]int)}, func(contract.Event, string) {})
}

// An image is of the moment at which it was captured, whatever is folded while it is encoded.
func TestImages(t *testing.T) {
	const captured = "{}\n" + `{"flows":{"a":0,"b":0,"c":0},"exits":0}`
	tests := map[string][]contract.Event{
		"nothing":                     nil,
		"a flow that is not encoded":  {{Type: contract.TypeFlowPlanned, Subject: "c"}},
		"a flow that is encoded":      {{Type: contract.TypeFlowPlanned, Subject: "a"}},
		"a new flow":                  {{Type: contract.TypeFlowValidated, Subject: "d"}},
		"an act":                      {{Type: "act.stop", Subject: "b"}},
		"a job's event":               {{Type: contract.TypeJobStarted, Subject: "b"}},
		"an exit, which fails others": {{Type: contract.TypeExecutorExited, Subject: "x"}},
		"several": {
			{Type: contract.TypeFlowPlanned, Subject: "c"}, {Type: contract.TypeExecutorExited, Subject: "x"},
			{Type: contract.TypeFlowPlanned, Subject: "c"},
		},
	}
	for name, events := range tests {
		t.Run(name, func(t *testing.T) {
			c := pairBench()
			i := c.Capture()
			c.Encode(1)
			for _, e := range events {
				e.Time = time.Unix(1, 0)
				c.Observe(e)
			}
			for !c.Encode(1) {
			}
			if got, err := i.Bytes(); string(got) != captured || err != nil {
				t.Errorf("got %s, %v, want %s", got, err, captured)
			}
		})
	}
}

func TestImagesAreEncodedInSteps(t *testing.T) {
	c := pairBench()
	i := c.Capture()
	for left := 3; left > 0; left-- {
		if len(i.pending) != left {
			t.Errorf("%d flows left, want %d", len(i.pending), left)
		}
		if complete := c.Encode(1); complete != (left == 1) {
			t.Errorf("complete is %v with %d flows left", complete, left)
		}
	}
	if c.image != nil {
		t.Error("the complete image is kept")
	}
	i = c.Capture()
	if c.Capture(); c.image == i || len(i.pending) > 0 {
		t.Error("the first image is not complete when the second one begins")
	}
}
