package planner

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/dagyo/dagyo/pkg/service/core"
)

// snapshotVersion changes with the format of image.
const snapshotVersion = 1

// An image is the stored form of the state.
type image struct {
	Runs      map[string]*run   `json:"runs,omitempty"`
	Executors map[string]string `json:"executors"`
}

func snapshots() core.Snapshot[*State] {
	return core.Snapshot[*State]{
		Version: snapshotVersion,
		Rest:    func(s *State) any { return image{Executors: maps.Clone(s.executors)} },
		Flows:   func(s *State) []string { return slices.Collect(maps.Keys(s.runs)) },
		Flow:    func(s *State, flow string) map[string]any { return map[string]any{"runs": s.runs[flow]} },
		Decode:  decode,
	}
}

func decode(s *State, raw []byte) error {
	i := image{s.runs, s.executors}
	if err := json.Unmarshal(raw, &i); err != nil {
		return err
	}
	for _, r := range s.runs {
		if r.Planned {
			s.flows++
			s.edges += r.Edges
		}
	}
	return nil
}
