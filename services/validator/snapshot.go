package validator

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

// An image is the stored form of the state. The types are in their own bucket, except for the commands without an
// answer.
type image struct {
	// Catalog is nil if the previous version has stored it: then it is in the bucket.
	Catalog map[string]contract.CatalogEntry `json:"catalog"`
	Flows   []string                         `json:"flows"`
	Taken   map[string]taken                 `json:"taken,omitempty"`
	Pending []command                        `json:"pending"`
	// Submissions are the token buckets of the limits on submissions.
	Submissions meter `json:"submissions,omitzero"`
}

func snapshots() core.Snapshot[*State] {
	return core.Snapshot[*State]{Version: snapshotVersion, Rest: rest, Decode: decode, Needs: needs}
}

func rest(s *State) any {
	taken := maps.Clone(s.flows)
	i := image{
		Catalog: make(map[string]contract.CatalogEntry, len(s.changed)), Taken: taken, Pending: []command{},
		Submissions: s.submissions.clone(),
	}
	for name := range s.changed {
		i.Catalog[name] = s.entry(name)
	}
	for _, key := range slices.Sorted(maps.Keys(s.pending)) {
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
	s.submissions = i.Submissions
	if i.Catalog != nil { // the bucket may be behind, or ahead
		clear(s.changed)
		clear(s.catalog)
	}
	for name, e := range i.Catalog {
		s.put(name, e)
	}
	slices.SortFunc(i.Pending, func(a, b command) int { return cmp.Compare(a.Seq, b.Seq) })
	for _, c := range i.Pending {
		if c.Type == contract.TypeTypeApply {
			s.applyType(c.event())
		}
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
