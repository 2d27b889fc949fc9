package spawner

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/service/core"
)

// snapshotVersion changes with the form of image.
const snapshotVersion = 1

// An image is the state as it is stored. Counts are made anew.
type image struct {
	// Current are the mailboxes of the catalogue's revisions. It is nil if the previous version has stored it: then the
	// bucket has them.
	Current   []string             `json:"current"`
	Revisions map[string]*revision `json:"revisions"`
	Executors map[string]*executor `json:"executors"`
	Runs      map[string]*run      `json:"runs,omitempty"`
	// Queue is the waiting flows by priority and arrival, Passed when they were passed by later ones.
	Queue  []string             `json:"queue"`
	Passed map[string]time.Time `json:"passed,omitempty"`
	Valid  []string             `json:"valid"`
	// By is the users who submitted the valid flows, where they are known.
	By   map[string]string `json:"by,omitempty"`
	Gone []string          `json:"gone"`
	Seq  uint64            `json:"seq"`
}

func snapshots() core.Snapshot[*State] {
	return core.Snapshot[*State]{
		Version: snapshotVersion,
		Rest:    rest,
		Flows:   func(s *State) []string { return slices.Collect(maps.Keys(s.runs)) },
		Flow:    func(s *State, flow string) map[string]any { return map[string]any{"runs": s.runs[flow]} },
		Decode:  decode,
	}
}

func rest(s *State) any {
	i := image{
		Current:   []string{},
		Revisions: copies(s.revisions), Executors: copies(s.executors), Queue: []string{}, Passed: map[string]time.Time{},
		Valid: slices.Sorted(maps.Keys(s.valid)), By: maps.Clone(s.valid), Gone: slices.Clone(s.gone.order), Seq: s.seq,
	}
	maps.DeleteFunc(i.By, func(_, user string) bool { return user == "" })
	for _, name := range slices.Sorted(maps.Keys(s.current)) {
		i.Current = append(i.Current, s.current[name].mailbox())
	}
	for _, f := range s.queue.Flows() {
		i.Queue = append(i.Queue, f.ID)
		if !f.Passed.IsZero() {
			i.Passed[f.ID] = f.Passed
		}
	}
	return i
}

// copies copies what is stored of revisions or executors.
func copies[T any](of map[string]*T) map[string]*T {
	out := make(map[string]*T, len(of))
	for name, v := range of {
		out[name] = new(*v)
	}
	return out
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
			r.pin(r.Pinned)
			s.addRevision(r)
		}
	}
	if i.Current != nil {
		s.restoreCurrent(i)
	}
	for id, x := range i.Executors {
		x.drains = x.Draining
		s.add(id, x)
	}
	for _, flow := range i.Valid {
		s.valid[flow] = i.By[flow]
	}
	for _, id := range i.Gone {
		s.gone.add(id)
	}
	s.seq = i.Seq
	for place, flow := range i.Queue {
		if r := i.Runs[flow]; r != nil && r.Arrived == 0 { // of an earlier version, which had an order only
			r.Arrived, r.Since = uint64(place)+1, r.Told.At
		}
	}
	for _, flow := range slices.SortedFunc(maps.Keys(i.Runs), func(a, b string) int { return i.Runs[a].Got.Compare(i.Runs[b].Got) }) {
		if err := s.adopt(flow, i.Runs[flow]); err != nil {
			return err
		}
	}
	for flow, at := range i.Passed {
		s.queue.Restore(flow, at)
	}
	for _, mailbox := range slices.Collect(maps.Keys(s.revisions)) {
		s.forget(mailbox)
	}
	return nil
}

// restoreCurrent takes over the stored catalogue: the bucket may be behind, or ahead of the events still to be folded.
func (s *State) restoreCurrent(i image) {
	for _, r := range s.current {
		r.current = false
		s.settle(r)
	}
	clear(s.current)
	for _, mailbox := range i.Current {
		if r := i.Revisions[mailbox]; r != nil {
			s.makeCurrent(r.Name, r.Pinned)
		}
	}
}

// adopt takes over a stored run, and counts what its jobs hold.
func (s *State) adopt(flow string, r *run) error {
	s.runs[flow] = r
	waits := !r.Granted && r.Got.IsZero() && r.Ended.IsZero()
	if r.live() {
		s.queue.Live(r.Owner, 1, r.Got)
	}
	for name, j := range r.State {
		rev, executor := s.revisions[j.Mailbox], j.Executor
		switch {
		case rev == nil && (j.Holds || executor != "" || waits):
			return fmt.Errorf("job %s of flow %s is one of %s, which is unknown", name, flow, j.Mailbox)
		case executor != "" && s.executors[executor] == nil:
			return fmt.Errorf("job %s of flow %s runs on %s, which is unknown", name, flow, executor)
		case j.Holds:
			s.adjust(flow, r, rev, 1)
		}
		if j.Executor = ""; executor != "" && s.executors[executor].Mailbox == j.Mailbox {
			s.take(flow, r, j, executor)
		}
	}
	if waits {
		s.wait(flow, r)
	}
	if r.Told.Place == 0 && !r.Told.At.IsZero() {
		s.stalled[flow] = r
	}
	return nil
}
