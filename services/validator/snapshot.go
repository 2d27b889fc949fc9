package validator

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service/core"
)

// snapshotVersion changes with the format of image.
const snapshotVersion = 1

// An image is the stored form of the state. The catalogues are in their own buckets, except for the commands
// without an answer.
type image struct {
	Flows   []string         `json:"flows"`
	Taken   map[string]taken `json:"taken,omitempty"`
	Pending []command        `json:"pending"`
	// Submissions are the token buckets of the limits on submissions.
	Submissions meter `json:"submissions,omitzero"`
}

func snapshots() core.Snapshot[*State] {
	return core.Snapshot[*State]{Version: snapshotVersion, Encode: encode, Decode: decode, Needs: needs}
}

func encode(s *State) ([]byte, error) {
	i := image{
		Flows: slices.Sorted(maps.Keys(s.flows)), Taken: s.flows, Pending: []command{}, Submissions: s.submissions,
	}
	for _, key := range Open(s) {
		for _, c := range s.pending[key] {
			if c.Type == contract.TypeFlowSubmit {
				c.Raw = nil // to be read again
			}
			i.Pending = append(i.Pending, c)
		}
	}
	return json.Marshal(i)
}

func decode(s *State, raw []byte) error {
	var i image
	if err := json.Unmarshal(raw, &i); err != nil {
		return err
	}
	for _, flow := range i.Flows {
		s.flows[flow] = i.Taken[flow] // the previous version has none
	}
	s.submissions = i.Submissions
	for _, c := range i.Pending {
		s.change(c.event())
		s.add(c)
	}
	return nil
}

// needs returns the first submission still to be judged: its document is only in EVENTS.
func needs(s *State) (first uint64) {
	for _, waiting := range s.pending {
		for _, c := range waiting {
			if c.Type == contract.TypeFlowSubmit && (first == 0 || c.Seq < first) {
				first = c.Seq
			}
		}
	}
	return first
}
