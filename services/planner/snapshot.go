package planner

import (
	"encoding/json"

	"github.com/dagyo/dagyo/pkg/service/core"
)

// snapshotVersion changes with the format of image.
const snapshotVersion = 1

// An image is the stored form of the state.
type image struct {
	Runs      map[string]*run   `json:"runs"`
	Executors map[string]string `json:"executors"`
}

func snapshots() core.Snapshot[*State] {
	return core.Snapshot[*State]{Version: snapshotVersion, Encode: encode, Decode: decode}
}

func encode(s *State) ([]byte, error) { return json.Marshal(image{s.runs, s.executors}) }

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
