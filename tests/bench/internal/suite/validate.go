package suite

import (
	"fmt"
	"time"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/tests/bench/internal/worker"
)

// validation measures the duration of the check of a flow.
func (s *Suite) validation() Figure {
	small, large := s.few(20, 200), s.few(2, 10)
	return Figure{
		Name: "validate",
		How: fmt.Sprintf("A chain of nodes, checked in this process (`flow.Check`, %d and %d "+
			"times per round) and by a request to `ask.flow.validate`; medians. The validator runs with "+
			"--flow-bytes %d.",
			small, large, flowBytes),
		Variants: []Variant{
			{"check, 100", func(r *Run) (Values, error) { return checkHere("check 100", 100, small) }},
			{"ask, 100", func(r *Run) (Values, error) { return r.askAll("ask 100", 100, small) }},
			{"check, 10,000", func(r *Run) (Values, error) {
				return checkHere("check 10000", 10_000, large)
			}},
			{"ask, 10,000", func(r *Run) (Values, error) { return r.askAll("ask 10000", 10_000, large) }},
		},
		Rows: []Row{
			{"validate 100 nodes, `flow.Check`", "check 100", "", Seconds,
				Goal{AtMost: 0.001, Text: "≤ 1 ms"}},
			{"… by a request to the service", "ask 100", "", Seconds, Goal{}},
			{"validate 10,000 nodes, `flow.Check`", "check 10000", "", Seconds,
				Goal{AtMost: 0.1, Text: "≤ 100 ms"}},
			{"… by a request to the service", "ask 10000", "", Seconds, Goal{}},
		},
	}
}

func checkHere(series string, nodes, times int) (Values, error) {
	catalog := make(flow.Catalog)
	for name, raw := range documents() {
		doc, problems := progdef.Check(raw, document.DefaultLimits())
		if problems != nil {
			return nil, problems
		}
		catalog[name] = progdef.Pinned{Revision: doc.Revision(), Document: doc}
	}
	limits, doc := flow.DefaultLimits(), chain(nodes)
	limits.Document.Bytes = flowBytes
	var all []time.Duration
	for range times + 1 { // the first compiles the schema
		t0 := time.Now()
		if _, _, problems := flow.Check(doc, catalog, limits); problems != nil {
			return nil, problems
		}
		all = append(all, time.Since(t0))
	}
	return Values{series: worker.Quantile(all[1:], 0.5).Seconds()}, nil
}

func (r *Run) askAll(series string, nodes, times int) (Values, error) {
	s, err := r.dagyo()
	if err != nil {
		return nil, err
	}
	doc := chain(nodes)
	var all []time.Duration
	for range times + 1 {
		t0 := time.Now()
		_, problems, err := s.client.Validate(r, doc)
		if err != nil {
			return nil, err
		}
		if problems != nil {
			return nil, problems
		}
		all = append(all, time.Since(t0))
	}
	return Values{series: worker.Quantile(all[1:], 0.5).Seconds()}, nil
}
