package spawner

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/spawner/admission"
)

// Whatever is folded and in flight, the counts are those of what is there, and a restored snapshot decides the same.
func TestCounts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := Limits{Executors: 5, Queue: 3, QueueTime: 20 * time.Second, ReserveAfter: 10 * time.Second, Linger: 5 * time.Second}
		quota := func(most int) admission.Quota {
			n := rapid.IntRange(0, most)
			return admission.Quota{Flows: n.Draw(t, "flows"), Waiting: n.Draw(t, "waiting"), Slots: n.Draw(t, "slots"), Executors: n.Draw(t, "executors")}
		}
		if rapid.Bool().Draw(t, "quotas") {
			l.Tenant, l.User = quota(5), quota(3)
		}
		h := &randomHistory{t: t, s: NewState(l, nil)}
		h.now = time.Unix(1_000_000, 0).UTC()
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			h.step()
			h.compare()
		}
		for len(h.flying) > 0 {
			h.land()
		}
		h.compare()
		h.restore()
	})
}

// A randomHistory folds random events, many of them senseless, and decisions of which some are in flight for a while.
type randomHistory struct {
	t      *rapid.T
	s      *State
	now    time.Time
	seq    uint64
	flows  int
	flying [][]contract.Event
}

func (h *randomHistory) fold(e contract.Event) {
	h.seq++
	e.Seq, e.Time = h.seq, h.now
	Evolve(h.s, e)
}

func (h *randomHistory) step() {
	h.now = h.now.Add(time.Duration(rapid.IntRange(0, 8).Draw(h.t, "seconds")) * time.Second)
	progdef := rapid.SampledFrom([]string{"a", "b"}).Draw(h.t, "progdef")
	revision := rapid.SampledFrom([]string{"r1", "r2"}).Draw(h.t, "revision")
	flow := fmt.Sprintf("f%d", rapid.IntRange(0, h.flows).Draw(h.t, "flow"))
	job := fmt.Sprintf("%s-%d", progdef, rapid.IntRange(0, 1).Draw(h.t, "job"))
	executor := rapid.SampledFrom(append(slices.Sorted(maps.Keys(h.s.executors)), "stray")).Draw(h.t, "executor")
	switch rapid.IntRange(0, 14).Draw(h.t, "what") {
	case 0, 1:
		h.flows++
		id := fmt.Sprintf("f%d", h.flows)
		by := rapid.SampledFrom([]string{"", "anna", "bert"}).Draw(h.t, "by")
		h.fold(contract.Event{Type: contract.TypeFlowValidated, Subject: id, Data: &contract.FlowValidated{Owner: by}})
		h.fold(contract.Event{Type: contract.TypeFlowPlanned, Subject: id, Data: planned(id, []string{
			fmt.Sprintf("%s@%s*%d", progdef, revision, rapid.IntRange(1, 2).Draw(h.t, "jobs")), "slots=2", "max=2",
			fmt.Sprintf("priority=%d", rapid.SampledFrom([]int{math.MinInt, 0, 0, math.MaxInt}).Draw(h.t, "priority"))})})
	case 2:
		name, p := pinned(progdef+"@"+revision, []string{"slots=2",
			fmt.Sprintf("max=%d", rapid.IntRange(1, 2).Draw(h.t, "max")), fmt.Sprintf("min=%d", rapid.IntRange(0, 1).Draw(h.t, "min"))})
		h.fold(contract.Event{Type: contract.TypeProgdefApplied, Subject: name,
			Data: &contract.ProgdefApplied{Name: name, Revision: p.Revision, Document: p.Document}})
	case 3:
		h.fold(contract.Event{Type: contract.TypeFlowCancelled, Subject: flow, Data: &contract.FlowCancelled{}})
	case 4, 5:
		h.fold(contract.Event{Type: contract.TypeJobStarted, Subject: flow, Data: &contract.JobStarted{Job: job, Executor: executor}})
	case 6:
		h.fold(contract.Event{Type: contract.TypeJobDone, Subject: flow, Data: &contract.JobDone{Job: job, Executor: executor}})
	case 7:
		h.fold(contract.Event{Type: contract.TypeExecutorDraining, Subject: executor, Data: &contract.ExecutorDraining{Executor: executor}})
	case 8:
		h.fold(contract.Event{Type: contract.TypeExecutorExited, Subject: executor,
			Data: &contract.ExecutorExited{Executor: executor, Progdef: progdef, Revision: revision}})
	case 9:
		h.fold(contract.Event{Type: contract.TypeFlowSpawned, Subject: flow, Data: &contract.FlowSpawned{Jobs: -1}})
	case 10:
		h.fold(contract.Event{Type: contract.TypeFlowQueued, Subject: flow, Data: &contract.FlowQueued{
			Place: rapid.SampledFrom([]int{math.MinInt, 0, 1, math.MaxInt}).Draw(h.t, "place")}})
	case 11:
		if len(h.flying) > 0 {
			h.land()
		}
	default:
		h.decide()
	}
}

// decide puts what is decided under a key in flight.
func (h *randomHistory) decide() {
	keys := Open(h.s)
	effects, _ := Decide(h.s, keys[rapid.IntRange(0, len(keys)-1).Draw(h.t, "key")], h.now)
	begin := 0
	for i, e := range effects {
		if e.Flow() == "" && i < len(effects)-1 && len(effects) < 4 {
			continue
		}
		h.fly(effects[begin : i+1])
		begin = i + 1
	}
}

// fly puts effects in flight, unless one about the same flow or executor is.
func (h *randomHistory) fly(effects []contract.Event) {
	for _, other := range slices.Concat(h.flying...) {
		if slices.ContainsFunc(effects, func(e contract.Event) bool { return e.Subject == other.Subject }) {
			return
		}
	}
	for _, e := range effects {
		inFlight(h.s, e, true)
	}
	h.flying = append(h.flying, effects)
}

// land ends the first flight; it may have failed.
func (h *randomHistory) land() {
	effects := h.flying[0]
	h.flying = h.flying[1:]
	published := rapid.IntRange(0, len(effects)).Draw(h.t, "published")
	for _, e := range effects[:published] {
		h.fold(e)
	}
	for _, e := range effects {
		inFlight(h.s, e, false)
	}
}

// compare compares the counts with what is there.
func (h *randomHistory) compare() {
	for mailbox, r := range h.s.revisions {
		live, draining, used, free := 0, 0, 0, 0
		for _, x := range h.s.executors {
			switch {
			case x.Mailbox != mailbox:
			case x.drains:
				draining++
			default:
				live++
			}
		}
		for _, of := range h.s.starting {
			if of == r {
				live++
			}
		}
		awaiting := make(map[string]int)
		for id, f := range h.s.runs {
			for _, j := range f.State {
				if j.Mailbox != mailbox || !j.Holds {
					continue
				}
				used++
				if j.Executor == "" {
					awaiting[id]++
				}
				if x := h.s.executors[j.Executor]; x == nil || !x.drains {
					free++
				}
			}
		}
		for _, f := range h.s.queue.Flows() {
			for _, n := range f.Needs {
				if f.Claimed() && n.Pool == &r.pool {
					free += n.Slots
				}
			}
		}
		got := []int{r.pool.Live, r.pool.Draining, r.used, r.pool.Used}
		if want := []int{live, draining, used, free}; !slices.Equal(got, want) {
			h.t.Fatalf("%s has live, draining, used, of these not draining: %v, want %v", mailbox, got, want)
		}
		if !maps.Equal(awaiting, r.awaiting) {
			h.t.Fatalf("%s is awaited by %v, want %v", mailbox, r.awaiting, awaiting)
		}
		if _, short := h.s.short[r]; short != (r.missing() > 0 || r.belowMinimum() > 0) {
			h.t.Fatalf("%s: short is %v", mailbox, short)
		}
	}
	for id, x := range h.s.executors {
		left := 0
		for _, f := range h.s.runs {
			for _, j := range f.State {
				if j.Executor == id && !f.Ended.IsZero() {
					left++
				}
			}
		}
		tended := h.s.serving[x.Mailbox].tended[id] != nil
		if tended != (x.jobs == 0 || x.drains || left > 0) {
			h.t.Fatalf("%s: tended is %v", id, tended)
		}
		if x.left != left {
			h.t.Fatalf("%s runs %d jobs of ended flows, counted %d", id, left, x.left)
		}
	}
}

// restore compares the decisions of a restored state.
func (h *randomHistory) restore() {
	raw, err := snapshots().Encode(h.s)
	if err != nil {
		h.t.Fatal(err)
	}
	stored := make(map[string]contract.CatalogEntry)
	for name, r := range h.s.current {
		stored[name] = contract.CatalogEntry{Published: contract.Published{Pinned: r.Pinned}}
	}
	again := NewState(h.s.limits, stored)
	if err := decode(again, raw); err != nil {
		h.t.Fatal(err)
	}
	again.checked, again.check, again.changes = h.s.checked, h.s.check, h.s.changes // what acts have set is not stored
	for id, x := range again.executors {
		x.givenUp = h.s.executors[id].givenUp
	}
	if a, b := Open(h.s), Open(again); !slices.Equal(a, b) {
		h.t.Fatalf("%v are open, after a restart %v", a, b)
	}
	for _, key := range Open(h.s) {
		before, next := Decide(h.s, key, h.now)
		after, nextAfter := Decide(again, key, h.now)
		if lines(before) != lines(after) || !next.Equal(nextAfter) {
			h.t.Fatalf("%s is decided differently after a restart, next at %v:\n%s\nnext at %v:\n%s",
				key, next, lines(before), nextAfter, lines(after))
		}
	}
}

// What nothing refers to is forgotten, whatever was planned.
func TestRevisionsWithoutJobsAreForgotten(t *testing.T) {
	s := NewState(DefaultLimits(), nil)
	plan := planned("f", []string{"a@r1*1", "max=1"})
	name, p := pinned("unused@r1", nil)
	plan.Progdefs[name] = p
	fold(s, 1, contract.Event{Type: contract.TypeFlowValidated, Subject: "f"})
	fold(s, 2, contract.Event{Type: contract.TypeFlowPlanned, Subject: "f", Data: plan})
	fold(s, 3, contract.Event{Type: contract.TypeFlowCancelled, Subject: "f", Data: &contract.FlowCancelled{}})
	if len(s.revisions) > 0 || len(s.runs) > 0 {
		t.Errorf("%d revisions and %d flows are kept", len(s.revisions), len(s.runs))
	}
}
