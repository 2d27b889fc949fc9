package places

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const patience = 30 * time.Second

func TestDivide(t *testing.T) {
	now := time.Unix(1e9, 0)
	long := now.Add(-patience)
	for name, c := range map[string]struct {
		total   int
		tenants []Tenant
		want    map[string]int
	}{
		"what is wanted fits": {
			10,
			[]Tenant{{ID: "a", Claim: Claim{Held: 2, Next: 3}, Since: now}, {ID: "b", Claim: Claim{Next: 5}, Since: now}},
			map[string]int{"a": 5, "b": 5},
		},
		"the smallest share goes first": {
			10,
			[]Tenant{{ID: "a", Claim: Claim{Held: 6, Next: 2}, Since: now}, {ID: "b", Claim: Claim{Held: 2, Next: 2}, Since: now}},
			map[string]int{"a": 6, "b": 4},
		},
		"shares have weights": {
			10,
			[]Tenant{{ID: "a", Weight: 4, Claim: Claim{Held: 6, Next: 2}, Since: now}, {ID: "b", Claim: Claim{Held: 2, Next: 2}, Since: now}},
			map[string]int{"a": 8, "b": 2},
		},
		"who has its part gets no more while another waits": {
			10,
			[]Tenant{{ID: "a", Claim: Claim{Held: 6, Next: 1}, Since: now}, {ID: "b", Claim: Claim{Next: 5}, Since: now}},
			map[string]int{"a": 6, "b": 0},
		},
		"who has less than its part does": {
			12,
			[]Tenant{
				{ID: "a", Claim: Claim{Held: 6}}, {ID: "b", Claim: Claim{Next: 8}, Since: now}, {ID: "c", Claim: Claim{Held: 1, Next: 2}, Since: now},
			},
			map[string]int{"a": 6, "b": 0, "c": 3},
		},
		"unless the other has waited for long": {
			12,
			[]Tenant{
				{ID: "a", Claim: Claim{Held: 6}}, {ID: "b", Claim: Claim{Next: 8}, Since: long}, {ID: "c", Claim: Claim{Held: 1, Next: 2}, Since: now},
			},
			map[string]int{"a": 6, "b": 0, "c": 1},
		},
		"idle executors are given back": {
			10,
			[]Tenant{{ID: "a", Claim: Claim{Held: 9, Idle: 5}}, {ID: "b", Claim: Claim{Next: 4}, Since: now}},
			map[string]int{"a": 6, "b": 0},
		},
		"but not for nothing": {
			10,
			[]Tenant{{ID: "a", Claim: Claim{Held: 9, Idle: 2}}, {ID: "b", Claim: Claim{Next: 4}, Since: now}},
			map[string]int{"a": 9, "b": 0},
		},
		"nor for later": {
			10,
			[]Tenant{{ID: "a", Claim: Claim{Held: 9, Idle: 9}}, {ID: "b", Claim: Claim{Spare: 4}}},
			map[string]int{"a": 9, "b": 1},
		},
		"flows after the next ones share what is free": {
			12,
			[]Tenant{
				{ID: "a", Weight: 2, Claim: Claim{Next: 1, More: 20}, Since: now}, {ID: "b", Claim: Claim{Next: 1, More: 20}, Since: now},
				{ID: "c", Claim: Claim{Next: 1, Spare: 9}, Since: now},
			},
			map[string]int{"a": 7, "b": 4, "c": 1},
		},
		"what was promised is taken": {
			10,
			[]Tenant{{ID: "a", Claim: Claim{Held: 2, Idle: 2}, Promised: 8}, {ID: "b", Claim: Claim{Next: 3}, Since: now}},
			map[string]int{"a": 2, "b": 0},
		},
		"and kept for who wants it": {
			10,
			[]Tenant{{ID: "a", Claim: Claim{Held: 2, More: 3}, Promised: 8}, {ID: "b", Claim: Claim{Next: 3}, Since: now}},
			map[string]int{"a": 5, "b": 0},
		},
		"nothing is kept for later while a flow waits": {
			10,
			[]Tenant{{ID: "a", Claim: Claim{Held: 8, Spare: 2}}, {ID: "b", Claim: Claim{Next: 4}, Since: now}},
			map[string]int{"a": 8, "b": 0},
		},
		"more is held than there is": {
			10,
			[]Tenant{{ID: "a", Claim: Claim{Held: 12, Idle: 4}}, {ID: "b", Claim: Claim{Next: 1}, Since: now}},
			map[string]int{"a": 9, "b": 0},
		},
	} {
		if got := Divide(c.total, c.tenants, now, patience); !maps.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

// drawTenants draws tenants with any claims that a spawner can make.
func drawTenants(t *rapid.T, total int, now time.Time) (all []Tenant) {
	for i := range rapid.IntRange(1, 6).Draw(t, "tenants") {
		held := rapid.IntRange(0, total).Draw(t, "held")
		all = append(all, Tenant{
			ID: fmt.Sprint(i), Weight: rapid.IntRange(0, 4).Draw(t, "weight"),
			Claim: Claim{
				Held: held, Idle: rapid.IntRange(0, held).Draw(t, "idle"), Next: rapid.IntRange(0, total).Draw(t, "next"),
				More: rapid.IntRange(0, 3).Draw(t, "more"), Spare: rapid.IntRange(0, 3).Draw(t, "spare"),
			},
			Promised: rapid.SampledFrom([]int{0, 0, held + 1, held + 3}).Draw(t, "promised"),
			Since:    now.Add(-time.Duration(rapid.IntRange(0, 1000).Draw(t, "waited")) * time.Second),
		})
	}
	return all
}

func TestDivideKeepsTheRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total, now := rapid.IntRange(1, 20).Draw(t, "total"), time.Unix(1e9, 0)
		all := drawTenants(t, total, now)
		got := Divide(total, all, now, patience)
		held, given, weights, waits := 0, 0, 0, []Tenant(nil)
		for _, x := range all {
			held += x.taken()
			given += max(got[x.ID], x.taken()) // what is below is held until it is idle
			if x.active() {
				weights += x.weight()
			}
			if got[x.ID] < x.Held-x.Idle {
				t.Fatalf("%+v is to give back executors that it needs: %v", x, got)
			}
			if x.Next > 0 && got[x.ID] < x.Held+x.Next {
				waits = append(waits, x)
			}
		}
		if given > max(total, held) {
			t.Fatalf("%d places are given to %+v of %d: %v", given, all, total, got)
		}
		for _, x := range all {
			for _, y := range waits {
				if got[x.ID] > x.taken() && y.share(x) < 0 && got[x.ID]*weights > total*x.weight() {
					t.Fatalf("%+v gets more than its part while %+v waits: %v", x, y, got)
				}
			}
		}
		shuffled := rapid.Permutation(all).Draw(t, "order")
		if again := Divide(total, shuffled, now, patience); !maps.Equal(again, got) {
			t.Fatalf("the order of tenants matters: %v, %v", got, again)
		}
	})
}

// A world is tenants whose flows need executors for some time each.
type world struct {
	total   int
	now     time.Time
	tenants []*tenant
}

type tenant struct {
	Tenant
	sizes []int // of the next flows; used again and again
	at    int
	ends  []flowEnd
	got   int // executors × seconds
	// waited is the longest time that a flow has waited.
	waited time.Duration
}

type flowEnd struct {
	at   time.Time
	size int
}

// step lets flows end, divides the places, and starts the flows that fit.
func (w *world) step(duration func() time.Duration) {
	w.now = w.now.Add(time.Second)
	for _, x := range w.tenants {
		x.ends = slices.DeleteFunc(x.ends, func(f flowEnd) bool {
			ended := !f.at.After(w.now)
			if ended {
				x.Held -= f.size
			}
			return ended
		})
	}
	for range 4 { // until nothing fits any more, or nearly so
		all := make([]Tenant, len(w.tenants))
		for i, x := range w.tenants {
			x.Next = x.sizes[x.at%len(x.sizes)]
			all[i] = x.Tenant
		}
		got := Divide(w.total, all, w.now, patience)
		for _, x := range w.tenants {
			x.waited = max(x.waited, w.now.Sub(x.Since))
			if got[x.ID] >= x.Held+x.Next {
				x.ends = append(x.ends, flowEnd{w.now.Add(duration()), x.Next})
				x.Held += x.Next
				x.Since = w.now
				x.at++
			}
		}
	}
	for _, x := range w.tenants {
		x.got += x.Held
	}
}

// Each flow runs at last, however large, where all flows end.
func TestNobodyStarves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		total := rapid.IntRange(2, 12).Draw(t, "total")
		w := &world{total: total, now: time.Unix(1e9, 0)}
		for i := range rapid.IntRange(2, 5).Draw(t, "tenants") {
			w.tenants = append(w.tenants, &tenant{
				Tenant: Tenant{ID: fmt.Sprint(i), Weight: rapid.IntRange(1, 3).Draw(t, "weight"), Since: w.now},
				sizes:  rapid.SliceOfN(rapid.IntRange(1, total), 1, 4).Draw(t, "sizes"),
			})
		}
		longest := rapid.IntRange(1, 60).Draw(t, "longest")
		durations := rapid.SliceOfN(rapid.IntRange(1, longest), 1, 20).Draw(t, "durations")
		n := 0
		for range 3000 {
			w.step(func() time.Duration { n++; return time.Duration(durations[n%len(durations)]) * time.Second })
			held := 0
			for _, x := range w.tenants {
				held += x.Held
			}
			if held > total {
				t.Fatalf("%d executors of %d", held, total)
			}
		}
		for _, x := range w.tenants {
			if x.waited > 1000*time.Second {
				t.Fatalf("a flow of tenant %s, whose flows need %v of %d, has waited for %v", x.ID, x.sizes, total, x.waited)
			}
		}
	})
}

// Tenants that always want more get parts according to their weights.
func TestWeights(t *testing.T) {
	w := &world{total: 30, now: time.Unix(1e9, 0)}
	for i, weight := range []int{1, 2, 3} {
		w.tenants = append(w.tenants, &tenant{Tenant: Tenant{ID: fmt.Sprint(i), Weight: weight, Since: w.now}, sizes: []int{1}})
	}
	n := 0
	for range 1000 {
		w.step(func() time.Duration { n++; return time.Duration(5+n%7) * time.Second })
	}
	for i, x := range w.tenants {
		if part := float64(x.got) / (1000 * 5 * float64(i+1)); part < 0.9 || part > 1.1 {
			t.Errorf("tenant %s got %.2f of its part", x.ID, part)
		}
	}
}
