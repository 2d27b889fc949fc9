package spawner

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/dagyo/dagyo/pkg/service/core"
)

// snapshotVersion changes with the form of image.
const snapshotVersion = 1

// An image is the state as it is stored. Which revisions are current is the catalogue's to say, and counts are
// made anew.
type image struct {
	Revisions map[string]*revision `json:"revisions"`
	Executors map[string]*executor `json:"executors"`
	Runs      map[string]*run      `json:"runs"`
	Queue     []string             `json:"queue"`
	Valid     []string             `json:"valid"`
	Gone      []string             `json:"gone"`
	Seq       uint64               `json:"seq"`
}

func snapshots() core.Snapshot[*State] {
	return core.Snapshot[*State]{Version: snapshotVersion, Encode: encode, Decode: decode}
}

func encode(s *State) ([]byte, error) {
	return json.Marshal(image{
		Revisions: s.revisions, Executors: s.executors, Runs: s.runs, Queue: s.queue,
		Valid: slices.Sorted(maps.Keys(s.valid)), Gone: s.gone.order, Seq: s.seq,
	})
}

func decode(s *State, raw []byte) error {
	var i image
	if err := json.Unmarshal(raw, &i); err != nil {
		return err
	}
	for mailbox, r := range i.Revisions {
		if have := s.revisions[mailbox]; have != nil {
			have.Failures, have.Until, have.Refusals, have.Spare = r.Failures, r.Until, r.Refusals, r.Spare
			have.Last = r.Last
		} else {
			s.revisions[mailbox] = r
		}
	}
	maps.Copy(s.executors, i.Executors)
	for _, flow := range i.Valid {
		s.valid[flow] = struct{}{}
	}
	for _, id := range i.Gone {
		s.gone.add(id)
	}
	s.queue, s.seq = i.Queue, i.Seq
	for flow, r := range i.Runs {
		if err := s.adopt(flow, r); err != nil {
			return err
		}
	}
	for mailbox := range i.Revisions {
		s.forget(mailbox)
	}
	return nil
}

// adopt takes over a stored run, and counts what its jobs hold.
func (s *State) adopt(flow string, r *run) error {
	r.count()
	s.runs[flow] = r
	if !r.Ended.IsZero() {
		s.ended[flow] = r
	}
	for name, j := range r.State {
		rev, x := s.revisions[j.Mailbox], s.executors[j.Executor]
		switch {
		case j.Holds && rev == nil:
			return fmt.Errorf("job %s of flow %s holds a slot of %s, which is unknown", name, flow, j.Mailbox)
		case j.Holds:
			rev.used++
		}
		if x != nil {
			x.takes(flow, j, j.Executor)
		}
	}
	return nil
}
