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
}

func snapshots() core.Snapshot[*State] {
	return core.Snapshot[*State]{Version: snapshotVersion, Rest: rest, Decode: decode, Needs: needs}
}

func rest(s *State) any {
	taken := maps.Clone(s.flows)
	i := image{Taken: taken, Pending: []command{}}
	for _, key := range Open(s) {
		for _, c := range s.pending[key] {
			if c.Type == contract.TypeFlowSubmit {
				c.Raw = nil // to be read again
			}
			i.Pending = append(i.Pending, c)
		}
	}
	return struct {
		Flows names `json:"flows"`
		image
	}{taken, i}
}

// names encodes as the sorted keys.
type names map[string]taken

func (n names) MarshalJSON() ([]byte, error) { return json.Marshal(slices.Sorted(maps.Keys(n))) }

func decode(s *State, raw []byte) error {
	var i image
	if err := json.Unmarshal(raw, &i); err != nil {
		return err
	}
	for _, flow := range i.Flows {
		s.flows[flow] = i.Taken[flow] // the previous version has none
	}
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
