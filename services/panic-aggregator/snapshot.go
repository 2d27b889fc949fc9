package aggregator

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service/core"
)

// snapshotVersion changes with the format of image.
const snapshotVersion = 1

// An image is the stored form of the state.
type image struct {
	Runs         map[string]*run                 `json:"runs,omitempty"`
	Shown        map[string]*contract.FlowStatus `json:"shown,omitempty"`
	Submitted    map[string]submission           `json:"submitted"`
	Ended        []record                        `json:"ended"`
	Upto         uint64                          `json:"upto"`
	Cancels      []*cancel                       `json:"cancels"`
	Unanswerable map[uint64]unanswerable         `json:"unanswerable"`
	Executors    map[string]*executor            `json:"executors"`
	Exits        []*contract.ExecutorExited      `json:"exits"`
	// FailedStarts is how many executors in a row have failed to start, by flow and mailbox.
	FailedStarts map[string]map[string]int `json:"failedStarts,omitempty"`
	// Hooks is nil if the previous version has stored it: then there are none.
	Hooks *storedHooks `json:"hooks,omitempty"`
}

func snapshots() core.Snapshot[*State] {
	return core.Snapshot[*State]{
		Version: snapshotVersion, Rest: rest, Flows: storedFlows, Flow: storedFlow, Decode: decode,
	}
}

func rest(s *State) any {
	i := image{
		Submitted: maps.Clone(s.submitted.of), Ended: slices.Clone(s.past.Ended), Upto: s.past.Upto,
		Unanswerable: maps.Clone(s.unanswerable.of), Executors: make(map[string]*executor, len(s.executors)),
		FailedStarts: s.failedStarts(), Hooks: new(s.hooks.stored()),
	}
	for id, x := range s.executors {
		i.Executors[id] = new(*x)
	}
	for _, c := range s.cancels.all() {
		i.Cancels = append(i.Cancels, c)
	}
	for _, id := range s.exits.order {
		i.Exits = append(i.Exits, s.exits.known[id])
	}
	return i
}

// storedFlows returns the flows that are not cleaned up or have no verdict.
func storedFlows(s *State) []string {
	flows := slices.Collect(maps.Keys(s.shown))
	for flow := range s.runs {
		if s.shown[flow] == nil { // a foreign event has claimed that it is cleaned up
			flows = append(flows, flow)
		}
	}
	return flows
}

func storedFlow(s *State, flow string) map[string]any {
	out := make(map[string]any)
	if r := s.runs[flow]; r != nil {
		out["runs"] = r
	}
	if x := s.shown[flow]; x != nil {
		out["shown"] = x.full(nil)
	}
	return out
}

func decode(s *State, raw []byte) error {
	i := image{Runs: s.runs, Executors: s.executors}
	if err := json.Unmarshal(raw, &i); err != nil {
		return err
	}
	for flow, status := range i.Shown {
		x := new(shown)
		x.set(*status, s.runs[flow])
		s.shown[flow] = x
	}
	for _, c := range i.Cancels {
		s.cancels.add(c)
	}
	for _, seq := range slices.Sorted(maps.Keys(i.Unanswerable)) {
		s.unanswerable.add(seq, i.Unanswerable[seq])
	}
	s.past.Upto = i.Upto
	for _, flow := range slices.SortedFunc(maps.Keys(i.Submitted), func(a, b string) int {
		return cmp.Compare(i.Submitted[a].Seq, i.Submitted[b].Seq)
	}) {
		s.submitted.add(flow, i.Submitted[flow])
	}
	for _, r := range i.Ended {
		s.past.add(r.Seq, r.Status)
	}
	for _, x := range i.Exits {
		s.exits.add(x)
	}
	if i.Hooks != nil { // the bucket may be behind, or ahead
		s.hooks.restore(*i.Hooks)
	}
	s.reindex(i.FailedStarts)
	return nil
}
