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
	Runs         map[string]*run                 `json:"runs"`
	Shown        map[string]*contract.FlowStatus `json:"shown"`
	Submitted    map[string]submission           `json:"submitted"`
	Ended        []record                        `json:"ended"`
	Upto         uint64                          `json:"upto"`
	Cancels      []cancel                        `json:"cancels"`
	Unanswerable map[uint64]unanswerable         `json:"unanswerable"`
	Executors    map[string]*executor            `json:"executors"`
	Exits        []*contract.ExecutorExited      `json:"exits"`
}

func snapshots() core.Snapshot[*State] {
	return core.Snapshot[*State]{Version: snapshotVersion, Encode: encode, Decode: decode}
}

func encode(s *State) ([]byte, error) {
	i := image{
		Runs: s.runs, Shown: s.shown, Submitted: s.submitted.of, Ended: s.past.Ended, Upto: s.past.Upto,
		Cancels: s.cancels, Unanswerable: s.unanswerable, Executors: s.executors,
	}
	for _, id := range s.exits.order {
		i.Exits = append(i.Exits, s.exits.known[id])
	}
	return json.Marshal(i)
}

func decode(s *State, raw []byte) error {
	i := image{Runs: s.runs, Shown: s.shown, Unanswerable: s.unanswerable, Executors: s.executors}
	if err := json.Unmarshal(raw, &i); err != nil {
		return err
	}
	s.cancels, s.past.Upto = i.Cancels, i.Upto
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
	for _, x := range s.executors {
		x.flows = make(map[string]int)
	}
	for flow, r := range s.runs {
		for mailbox := range r.FailedStarts {
			s.failing[mailbox]++
		}
		if r.FailedStarts == nil {
			r.FailedStarts = make(map[string]int)
		}
		for _, j := range r.Jobs {
			if j.State == contract.JobRunning {
				s.executor(j.Executor).flows[flow]++
			}
		}
	}
	return nil
}
