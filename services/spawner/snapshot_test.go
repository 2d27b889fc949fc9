package spawner

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// The queue of the previous version had an order only. It is kept by each further snapshot.
func TestQueueOfThePreviousVersion(t *testing.T) {
	s := NewState(DefaultLimits(), nil)
	for i, flow := range []string{"first", "second", "third"} {
		fold(s, uint64(i), contract.Event{Type: contract.TypeFlowValidated, Subject: flow})
		fold(s, uint64(i), contract.Event{Type: contract.TypeFlowPlanned, Subject: flow, Data: planned(flow, []string{"a@r1*1", "max=1"})})
	}
	raw, err := snapshots().Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	var stored map[string]any
	if err := json.Unmarshal(raw, &stored); err != nil {
		t.Fatal(err)
	}
	for _, r := range stored["runs"].(map[string]any) {
		delete(r.(map[string]any), "arrived")
		delete(r.(map[string]any), "since")
	}
	stored["queue"] = []string{"second", "third", "first"}
	if raw, err = json.Marshal(stored); err != nil {
		t.Fatal(err)
	}
	s = restored(t, raw)
	fold(s, 100, contract.Event{Type: contract.TypeFlowValidated, Subject: "urgent"})
	fold(s, 100, contract.Event{Type: contract.TypeFlowPlanned, Subject: "urgent", Data: planned("urgent", []string{"a@r1*1", "max=1", "priority=1"})})
	if raw, err = snapshots().Encode(s); err != nil {
		t.Fatal(err)
	}
	s = restored(t, raw)
	var order []uint64
	for _, id := range []string{"urgent", "second", "third", "first"} {
		order = append(order, s.queue.Flow(id).Arrived)
	}
	if want := []uint64{100, 1, 2, 3}; !slices.Equal(order, want) {
		t.Errorf("the flows arrived in the places %v, want %v", order, want)
	}
}

func restored(t *testing.T, raw []byte) *State {
	t.Helper()
	s := NewState(DefaultLimits(), nil)
	if err := decode(s, raw); err != nil {
		t.Fatal(err)
	}
	return s
}

func fold(s *State, seq uint64, e contract.Event) {
	e.Seq, e.Time = seq, time.Unix(1_000_000, 0).UTC()
	Evolve(s, e)
}

// A snapshot keeps the user of each flow, from flow.validated on.
func TestSnapshotsKeepTheUsers(t *testing.T) {
	s := NewState(DefaultLimits(), nil)
	for _, flow := range []string{"valid", "waiting", "running"} {
		fold(s, 1, contract.Event{Type: contract.TypeFlowValidated, Subject: flow, Data: &contract.FlowValidated{Owner: "anna"}})
	}
	for _, flow := range []string{"waiting", "running"} {
		fold(s, 2, contract.Event{Type: contract.TypeFlowPlanned, Subject: flow, Data: planned(flow, []string{"a@r1*1", "max=1"})})
	}
	fold(s, 3, contract.Event{Type: contract.TypeFlowSpawned, Subject: "running", Data: &contract.FlowSpawned{}})
	raw, err := snapshots().Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	s = restored(t, raw)
	fold(s, 4, contract.Event{Type: contract.TypeFlowPlanned, Subject: "valid", Data: planned("valid", []string{"a@r1*1", "max=1"})})
	for flow, r := range s.runs {
		if r.Owner.User != "anna" {
			t.Errorf("the user of flow %s is %q", flow, r.Owner.User)
		}
	}
	if len(s.runs) != 3 || s.queue.Flow("valid") == nil {
		t.Errorf("%d flows are known", len(s.runs))
	}
}
