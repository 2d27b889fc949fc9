package validator

import (
	"slices"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A dead letter drops only the command that it answers, also in a state from a snapshot.
func TestDeadLettersDropTheirCommands(t *testing.T) {
	s := NewState(DefaultLimits(), nil)
	for seq := range uint64(5) {
		Evolve(s, contract.Event{Type: contract.TypeFlowSubmit, Subject: "f", Seq: seq + 1, Raw: []byte("{}")})
	}
	Evolve(s, contract.Event{Type: contract.TypeFlowSubmit, Subject: "g", Seq: 6, Raw: []byte("{}")})
	dead := func(s *State, seq uint64, want ...string) {
		t.Helper()
		keys := Evolve(s, contract.Event{Type: contract.TypeDeadLetter, Data: &contract.DeadLetter{Sequence: seq}})
		if !slices.Equal(keys, want) {
			t.Errorf("the dead letter of %d touches %q, want %q", seq, keys, want)
		}
	}
	dead(s, 3, "flow f")
	dead(s, 3)
	dead(s, 99)
	dead(s, 1, "flow f")
	if s.kept != 4*len("{}") {
		t.Errorf("%d bytes kept", s.kept)
	}
	stored, err := snapshots().Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	restored := NewState(DefaultLimits(), nil)
	if err := decode(restored, stored); err != nil {
		t.Fatal(err)
	}
	dead(restored, 5, "flow f")
	dead(restored, 6, "flow g")
	var left []uint64
	for _, c := range restored.pending["flow f"] {
		left = append(left, c.Seq)
	}
	if !slices.Equal(left, []uint64{2, 4}) || len(restored.pending) != 1 || len(restored.keys) != 2 {
		t.Errorf("%v of %d keys are left", left, len(restored.pending))
	}
	Evolve(restored, contract.Event{Type: contract.TypeFlowValidated, Subject: "f", Cause: 2})
	dead(restored, 4, "flow f")
	if len(restored.pending)+len(restored.keys) != 0 {
		t.Errorf("left are %v", restored.pending)
	}
}
