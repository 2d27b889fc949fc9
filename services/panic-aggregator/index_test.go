package aggregator

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service/core"
)

// What the indexes find is what a scan of all runs finds, in any history of events and facts, and behind a snapshot.
func TestIndexesAreScans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &histories{T: t, failed: map[string]map[string]int{}, now: time.Unix(1_000_000, 0).UTC(), s: NewState(DefaultLimits())}
		Evolve(h.s, Listening())
		t.Repeat(map[string]func(*rapid.T){
			"":         func(*rapid.T) { h.compare() },
			"flow":     h.flow,
			"start":    h.start,
			"done":     h.done,
			"executor": h.executor,
			"beat":     h.beat,
			"pulse":    h.pulse,
			"fact":     h.fact,
			"verdict":  h.verdict,
			"snapshot": h.snapshot,
			// These come more often.
			"start again": h.start, "beat again": h.beat, "pulse again": h.pulse,
			"pass": func(t *rapid.T) {
				h.now = h.now.Add(time.Duration(rapid.IntRange(1, 8000).Draw(t, "ms")) * time.Millisecond)
			},
		})
	})
}

type histories struct {
	*rapid.T
	s   *State
	now time.Time
	seq uint64
	// failed is how often executors have failed to start, by flow and mailbox, counted one by one.
	failed map[string]map[string]int
}

func (h *histories) pick(t *rapid.T, prefix string, n int) string {
	return prefix + rapid.SampledFrom([]string{"0", "1", "2", "3"}[:n]).Draw(t, prefix)
}

func (h *histories) event(kind contract.Type, subject string, data any) {
	h.seq++
	h.fold(contract.Event{Type: kind, Subject: subject, Source: "/test", Seq: h.seq, Data: data})
}

func (h *histories) fold(e contract.Event) {
	e.Time = h.now
	Evolve(h.s, e)
	maps.DeleteFunc(h.failed, func(flow string, _ map[string]int) bool { return h.s.runs[flow] == nil })
}

func (h *histories) flow(t *rapid.T) {
	flow := h.pick(t, "f", 4)
	h.event(contract.TypeFlowValidated, flow, &contract.FlowValidated{})
	h.event(contract.TypeFlowPlanned, flow, plannedFlow(flow, h.now.Add(time.Hour)))
	if rapid.Bool().Draw(t, "spawned") {
		h.event(contract.TypeFlowSpawned, flow, &contract.FlowSpawned{})
	}
}

func (h *histories) start(t *rapid.T) {
	flow, name, x := h.pick(t, "f", 4), h.pick(t, "j", 3), h.pick(t, "x", 4)
	var before contract.JobState
	if r := h.s.runs[flow]; r != nil && r.Jobs[name] != nil {
		before = r.Jobs[name].State
	}
	h.event(contract.TypeJobStarted, flow, &contract.JobStarted{Job: name, Executor: x})
	if before == contract.JobWaiting && h.s.runs[flow].Jobs[name].State == contract.JobRunning {
		for _, counts := range h.failed {
			delete(counts, h.s.runs[flow].Jobs[name].mailbox())
		}
	}
}

func (h *histories) done(t *rapid.T) {
	flow, name, x := h.pick(t, "f", 4), h.pick(t, "j", 3), h.pick(t, "x", 4)
	h.event(contract.TypeJobDone, flow, &contract.JobDone{Job: name, Executor: x, Stopped: rapid.Bool().Draw(t, "stopped")})
}

func (h *histories) executor(t *rapid.T) {
	x := h.pick(t, "x", 4)
	if rapid.Bool().Draw(t, "starts") {
		x = fmt.Sprintf("y%d", h.seq) // ids are used once
		h.event(contract.TypeExecutorStarted, x, &contract.ExecutorStarted{Executor: x})
	}
	p := fmt.Sprintf("progdef-%d", rapid.IntRange(0, 2).Draw(t, "progdef"))
	d := &contract.ExecutorExited{Executor: x, Progdef: p, Revision: "0123456789ab", Code: 1}
	known := h.s.executors[x]
	waiting := scanWaiting(h.s)[contract.Mailbox(p, d.Revision)]
	h.event(contract.TypeExecutorExited, x, d)
	if known == nil || known.Proved {
		return
	}
	for _, j := range waiting {
		flow := j.run.flow
		if h.failed[flow] == nil {
			h.failed[flow] = map[string]int{}
		}
		h.failed[flow][j.mailbox()]++
		if times := h.failed[flow][j.mailbox()]; (j.State == contract.JobPanicked) != (times >= h.s.limits.StartAttempts) {
			h.Fatalf("%s.%s is %s after %d failed starts", flow, j.name, j.State, times)
		}
	}
}

func (h *histories) beat(t *rapid.T) {
	lasts := time.Duration(rapid.IntRange(0, 20).Draw(t, "lasts")) * time.Second
	if rapid.Bool().Draw(t, "client") {
		released := rapid.IntRange(0, 3).Draw(t, "released") == 0
		h.fold(ClientHeard(ClientBeat{Flow: h.pick(t, "f", 4), Client: h.pick(t, "c", 3), For: 5 * lasts, Released: released}, h.now))
		return
	}
	h.fold(Heard(Beat{Flow: h.pick(t, "f", 4), Job: h.pick(t, "j", 3), For: lasts}, h.now))
}

func (h *histories) fact(t *rapid.T) {
	switch rapid.IntRange(0, 5).Draw(t, "fact") {
	case 0:
		h.fold(Missing(Gone{h.pick(t, "f", 4), h.pick(t, "j", 3)}, h.now))
	case 1:
		h.fold(contract.Event{Type: core.FactMissed, With: 3 * time.Second})
	case 2:
		h.fold(contract.Event{Type: core.FactLate, With: time.Second})
	case 3:
		h.fold(contract.Event{Type: factChecked, With: 2})
	case 5:
		h.fold(Measured([]Traffic{{h.pick(t, "f", 4), int64(rapid.IntRange(-1, 2).Draw(t, "records"))}}, h.now))
		h.stalls()
	case 4:
		h.event(contract.TypeTick, "tick", &contract.Tick{})
	}
}

// stalls publishes the stalls that have begun or ended: each once.
func (h *histories) stalls() {
	for flow, r := range h.s.runs {
		effects, _ := h.s.stalls(flow, r, h.now)
		for _, e := range effects {
			d := e.Data.(*contract.FlowStalled)
			if d.Stalled != (r.Stall == nil) {
				h.Fatalf("%s is said to be stalled (%t) twice", flow, d.Stalled)
			}
			h.event(e.Type, flow, d)
		}
		if again, _ := h.s.stalls(flow, r, h.now); len(again) > 0 {
			h.Fatalf("%+v is decided behind %+v", again[0].Data, effects)
		}
	}
}

func (h *histories) verdict(t *rapid.T) {
	flow := h.pick(t, "f", 4)
	h.event(contract.TypeFlowCancel, flow, &contract.FlowCancel{})
	effects, _ := Decide(h.s, flow, h.now.Add(time.Minute))
	for _, e := range effects {
		if e.EndsFlow() {
			h.event(e.Type, flow, e.Data)
		}
	}
}

func (h *histories) snapshot(*rapid.T) {
	raw, err := snapshots().Encode(h.s)
	if err != nil {
		h.Fatal(err)
	}
	s := NewState(DefaultLimits())
	if err := decode(s, raw); err != nil {
		h.Fatal(err)
	}
	again, err := snapshots().Encode(s)
	if err != nil || string(again) != string(raw) {
		h.Fatalf("the snapshot changes: %v\n%s\n%s", err, raw, again)
	}
	h.s = s
	Evolve(h.s, Listening())
	h.event(contract.TypeTick, "tick", &contract.Tick{})
}

// pulse compares which runs are suspected.
func (h *histories) pulse(*rapid.T) {
	var want []string
	for flow, r := range h.s.runs {
		if len(h.s.silent(r, h.now))+len(h.s.silentClients(r, h.now)) > 0 {
			want = append(want, flow)
		}
	}
	slices.Sort(want)
	link := scanLink(h.s, h.now)
	if got := h.s.suspect(h.now); !slices.Equal(got, want) || h.s.ears.link != link {
		h.Fatalf("suspected are %v (link: %t), a scan says %v (link: %t)", got, h.s.ears.link, want, link)
	}
	for flow, r := range h.s.runs {
		if r.suspect != slices.Contains(want, flow) {
			h.Fatalf("%s is suspected: %t", flow, r.suspect)
		}
	}
}

// scanLink is linkSuspected as a scan.
func scanLink(s *State, now time.Time) bool {
	silent, running := 0, 0
	executors := map[string]bool{}
	for _, r := range s.runs {
		for _, j := range r.Jobs {
			if j.State != contract.JobRunning {
				continue
			}
			running++
			if dead := j.dead(s); dead.IsZero() || !now.After(dead) {
				continue
			}
			if s.excused(j, j.Heard) {
				return false
			}
			silent++
			executors[j.Executor] = true
		}
	}
	return silent > 1 && 2*silent > running && len(executors) > 1
}

// scanWaiting returns the unclaimed jobs of spawned runs, by mailbox.
func scanWaiting(s *State) map[string][]*job {
	out := map[string][]*job{}
	for _, r := range s.runs {
		for _, j := range r.Jobs {
			if r.Spawned && j.State == contract.JobWaiting {
				out[j.mailbox()] = append(out[j.mailbox()], j)
			}
		}
	}
	for _, jobs := range out {
		slices.SortFunc(jobs, byName)
	}
	return out
}

// compare compares the indexes with scans.
func (h *histories) compare() {
	s := h.s
	running, mortals, held, unclaimed := 0, 0, map[string][]*job{}, 0
	for _, r := range s.runs {
		mortals += len(r.Clients)
		for _, j := range r.Jobs {
			if j.State == contract.JobRunning {
				running++
				held[j.Executor] = append(held[j.Executor], j)
			}
			if from, _ := j.lasting(s); !from.IsZero() && !j.ended() {
				mortals++
			}
		}
	}
	if running != s.running || mortals != len(s.living) {
		h.Fatalf("%d running jobs and %d mortals, a scan says %d and %d", s.running, len(s.living), running, mortals)
	}
	for id, x := range s.executors {
		slices.SortFunc(held[id], byName)
		jobs := slices.SortedFunc(slices.Values(x.jobs), byName)
		if !slices.Equal(jobs, held[id]) {
			h.Fatalf("executor %s has %d jobs, a scan says %d", id, len(jobs), len(held[id]))
		}
		delete(held, id)
	}
	if len(held) > 0 {
		h.Fatalf("executors %v are not known", slices.Collect(maps.Keys(held)))
	}
	flowing := 0
	for _, r := range s.runs {
		if r.Spawned != (r.traffic.place != nil) {
			h.Fatalf("%s: spawned %t, but its edges are checked: %t", r.flow, r.Spawned, r.traffic.place != nil)
		}
		if r.Spawned {
			flowing++
		}
	}
	if s.flowing.Len() != flowing {
		h.Fatalf("the edges of %d runs are checked, not of %d", s.flowing.Len(), flowing)
	}
	want := scanWaiting(s)
	for name, m := range s.mailboxes {
		var jobs []*job
		last := m.failed
		for e := m.jobs.Front(); e != nil; e = e.Next() {
			j := e.Value.(*job)
			if n := m.failures(j); n > last {
				h.Fatalf("%s has seen %d failed starts, behind one that has seen %d", j.name, n, last)
			} else {
				last = n
			}
			jobs = append(jobs, j)
		}
		unclaimed += len(jobs)
		slices.SortFunc(jobs, byName)
		if !slices.Equal(jobs, want[name]) {
			h.Fatalf("mailbox %s has %d jobs, a scan says %d", name, len(jobs), len(want[name]))
		}
		delete(want, name)
	}
	if len(want) > 0 || unclaimed != s.unclaimed.Len() {
		h.Fatalf("%v have no mailbox; %d unclaimed jobs, not %d", want, s.unclaimed.Len(), unclaimed)
	}
	maps.DeleteFunc(h.failed, func(flow string, counts map[string]int) bool {
		maps.DeleteFunc(counts, func(mailbox string, _ int) bool {
			return !slices.ContainsFunc(scanWaiting(s)[mailbox], func(j *job) bool { return j.run.flow == flow })
		})
		return len(counts) == 0
	})
	if got := s.failedStarts(); !reflect.DeepEqual(got, h.failed) {
		h.Fatalf("failed starts are %v, counted one by one %v", got, h.failed)
	}
}

// Dead letters are decided some at a time, in order, and each message gets one.
func TestManyUnanswerable(t *testing.T) {
	limits := DefaultLimits()
	limits.Cancels = 5
	s, now := NewState(limits), time.Unix(1_000_000, 0).UTC()
	var got, want []uint64
	for seq := range uint64(25) {
		want = append(want, seq+1)
		Evolve(s, contract.Event{
			Type: contract.TypeFlowCancel, Subject: fmt.Sprintf("f%d", seq%20), Seq: seq + 1, Time: now, Data: &contract.FlowCancel{},
		})
	}
	for {
		effects, next := Decide(s, keyUnanswerable, now)
		if len(effects) == 0 {
			if until := now.Add(limits.CancelMemory); !next.Equal(until) {
				t.Errorf("the next decision is at %v, want %v", next, until)
			}
			break
		}
		for _, e := range effects {
			got = append(got, e.Cause)
			e.Time = now
			Evolve(s, e)
		}
	}
	if want = want[:20]; !slices.Equal(got, want) || len(s.cancels.of) != 5 || len(s.cancels.flows) != 5 {
		t.Errorf("answered %v, want %v; %d cancels of %d flows are left", got, want, len(s.cancels.of), len(s.cancels.flows))
	}
	effects, next := Decide(s, keyUnanswerable, now.Add(2*limits.CancelMemory))
	if len(effects) != 5 || !next.IsZero() {
		t.Errorf("%d answers behind the time, next %v", len(effects), next)
	}
}
