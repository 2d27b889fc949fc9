package validator

import (
	"maps"
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

// A question uses the catalogues as they were, while these change: they are copied only then.
func TestLentCatalogues(t *testing.T) {
	l := newLog(t, nil)
	publish := func(names ...string) {
		for _, name := range names {
			l.want(contract.TypeProgdefApply, name, greet(name), contract.TypeProgdefApplied)
			l.want(contract.TypeTypeApply, name, `{"name": "`+name+`", "description": "A thing"}`, contract.TypeTypeApplied)
		}
	}
	publish("a")
	known := l.s.lend()
	read := make(chan [2]int)
	go func() {
		var n [2]int
		for range 1000 {
			n = [2]int{len(slices.Collect(maps.Keys(known.Progdefs))), len(slices.Collect(maps.Keys(known.Types)))}
		}
		read <- n
	}()
	types := len(known.Types)
	publish("b", "c")
	if n := <-read; n != [2]int{1, types} || len(l.s.catalog) != 3 || len(l.s.lend().Types) != types+2 {
		t.Errorf("a question saw %v; the catalogues have %d progdefs and %d types", n, len(l.s.catalog), len(l.s.types.meanings))
	}
	before := l.s.catalog
	l.s.lent.Store(false)
	publish("d")
	if len(before) != 4 {
		t.Error("the catalogue was copied although nobody uses it")
	}
}
