package snapshot

import (
	"slices"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
)

func at(seqs ...uint64) (out []Description) {
	for _, seq := range seqs {
		out = append(out, Description{Service: "s", Place: event.Place{Seq: seq}})
	}
	return out
}

// A paused leader stores its snapshot late: the newer ones, by which EVENTS may have been trimmed, are kept.
func TestRemaining(t *testing.T) {
	tests := map[string]struct {
		all  []Description
		end  uint64
		want []uint64
	}{
		"none":                 {nil, 10, nil},
		"one":                  {at(5), 10, []uint64{5}},
		"one of three is late": {at(9, 7, 3), 10, []uint64{9, 7}},
		"of another EVENTS":    {at(90, 9, 7), 10, []uint64{9, 7}},
		"at the end":           {at(10, 7), 10, []uint64{10, 7}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got []uint64
			for _, d := range Remaining(tt.all, tt.end) {
				got = append(got, d.Seq)
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestNeeded(t *testing.T) {
	all := func(change func(map[string][]Description)) map[string][]Description {
		m := make(map[string][]Description)
		for _, s := range contract.Services() {
			m[s] = at(90, 70)
		}
		change(m)
		return m
	}
	tests := map[string]struct {
		all            map[string][]Description
		want, wantFull uint64
	}{
		"the older ones":   {all(func(map[string][]Description) {}), 71, 91},
		"one is behind":    {all(func(m map[string][]Description) { m["planner"] = at(80, 20) }), 21, 81},
		"one has one":      {all(func(m map[string][]Description) { m["planner"] = at(80) }), 0, 81},
		"one has none":     {all(func(m map[string][]Description) { delete(m, "planner") }), 0, 0},
		"one refers back":  {all(func(m map[string][]Description) { m["planner"][1].Needs = 12 }), 12, 91},
		"a newer one does": {all(func(m map[string][]Description) { m["planner"][0].Needs = 12 }), 12, 91},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Needed(tt.all, false); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
			if got := Needed(tt.all, true); got != tt.wantFull {
				t.Errorf("nearly full: got %d, want %d", got, tt.wantFull)
			}
		})
	}
}
