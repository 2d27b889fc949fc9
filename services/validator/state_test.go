package validator

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

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

// Every command is answered, by what is decided under the keys that evolve, and flows only after the progdefs before
// them: whatever is answered late, given up, or in a snapshot.
func TestEveryCommandIsAnswered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, seq := NewState(DefaultLimits(), nil), uint64(0)
		var keys []string
		open := map[uint64]contract.Type{} // commands without an answer
		nests := map[uint64]bool{}
		fold := func(e contract.Event) {
			seq++
			e.Seq = seq
			keys = append(keys, Evolve(s, e)...)
		}
		name := rapid.SampledFrom([]string{"a", "b", "c"})
		send := func(typ contract.Type, raw func(name string) string) {
			n := name.Draw(t, "name")
			fold(contract.Event{Type: typ, Subject: n, Raw: []byte(raw(n))})
			open[seq] = typ
		}
		decide := func() {
			key := keys[0]
			keys = keys[1:]
			effects, _ := Decide(s, key, time.Time{})
			for _, e := range effects {
				if e.Type == actStore {
					Evolve(s, e)
					continue
				}
				for before, typ := range open {
					changes := typ == contract.TypeProgdefApply || typ == contract.TypeProgdefRemove
					if waits := nests[e.Cause] || open[e.Cause] == contract.TypeFlowSubmit; waits && changes && before < e.Cause {
						t.Fatalf("%d is answered before %d", e.Cause, before)
					}
				}
				delete(open, e.Cause)
				if rapid.IntRange(0, 4).Draw(t, "give up") == 0 {
					e = contract.Event{Type: contract.TypeDeadLetter, Data: &contract.DeadLetter{Sequence: e.Cause}}
				}
				fold(e)
			}
		}
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			switch rapid.IntRange(0, 6).Draw(t, "step") {
			case 0:
				send(contract.TypeProgdefApply, greet)
			case 1:
				inner := name.Draw(t, "inner")
				send(contract.TypeProgdefApply, func(n string) string {
					return fmt.Sprintf(`{"name": %q, "flow": {"nodes": {"n": {"progdef": %q}}}}`, n, inner)
				})
				nests[seq] = true
			case 2:
				send(contract.TypeProgdefRemove, func(string) string { return "{}" })
			case 3:
				send(contract.TypeFlowSubmit, func(string) string { return "{}" })
			case 4:
				raw, err := snapshots().Encode(s)
				s = NewState(DefaultLimits(), nil)
				if err := errors.Join(err, decode(s, raw)); err != nil {
					t.Fatal(err)
				}
				keys = Open(s)
			default:
				for range min(2, len(keys)) {
					decide()
				}
			}
		}
		for len(keys) > 0 {
			decide()
		}
		if len(open)+len(s.pending)+len(s.held)+len(s.changes) > 0 {
			t.Fatalf("%v are open, pending are %v, held %v, changes %v", open, s.pending, s.held, s.changes)
		}
	})
}
