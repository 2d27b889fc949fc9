package spawner

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A leader decides all that is due, at the broker's time.
type leader struct {
	s   *State
	now time.Time
	seq uint64
	due map[string]time.Time
	// ends is when granted flows end, told how often each flow was told what it waits for.
	ends map[string]time.Time
	told map[string]int
	// executors counts those that were started or drained.
	executors int
	// lasts returns how long a granted flow runs; nil for ever.
	lasts func() time.Duration
}

func newLeader(l Limits) *leader {
	return &leader{
		s: NewState(l, nil), now: time.Unix(1_000_000, 0).UTC(), due: make(map[string]time.Time),
		ends: make(map[string]time.Time), told: make(map[string]int),
	}
}

func (l *leader) fold(e contract.Event) {
	l.seq++
	e.Seq, e.Time = l.seq, l.now
	for _, key := range Evolve(l.s, e) {
		l.due[key] = l.now
	}
	switch e.Type {
	case contract.TypeFlowQueued:
		l.told[e.Subject]++
	case contract.TypeFlowSpawned:
		if l.lasts != nil {
			l.ends[e.Subject] = l.now.Add(l.lasts())
		}
	case contract.TypeExecutorStarted:
		l.executors++
	case contract.TypeExecutorDraining:
		l.executors++
		l.fold(contract.Event{Type: contract.TypeExecutorExited, Subject: e.Subject, Data: &contract.ExecutorExited{Executor: e.Subject}})
	}
}

func (l *leader) plan(flow string, args ...string) {
	l.fold(contract.Event{Type: contract.TypeFlowValidated, Subject: flow})
	l.fold(contract.Event{Type: contract.TypeFlowPlanned, Subject: flow, Data: planned(flow, args)})
}

func (l *leader) complete(flow string) {
	delete(l.ends, flow)
	l.fold(contract.Event{Type: contract.TypeFlowCompleted, Subject: flow, Data: &contract.FlowCompleted{}})
}

// decide decides what is due now.
func (l *leader) decide() {
	rounds := 0
	for again := true; again; {
		again = false
		if rounds++; rounds > 2000 {
			panic("the decisions have no end")
		}
		for _, key := range slices.Sorted(maps.Keys(l.due)) {
			if at, due := l.due[key]; !due || at.After(l.now) {
				continue
			}
			effects, next := Decide(l.s, key, l.now)
			if delete(l.due, key); len(effects) > 0 {
				l.due[key] = l.now
			} else if !next.IsZero() {
				l.due[key] = next
			}
			for _, e := range effects {
				l.fold(e)
			}
			again = true
		}
	}
}

// pass lets time pass, in which the flows end that are due and everything else is decided.
func (l *leader) pass(d time.Duration) {
	for end := l.now.Add(d); ; {
		for _, flow := range slices.Sorted(maps.Keys(l.ends)) {
			if !l.now.Before(l.ends[flow]) {
				l.complete(flow)
			}
		}
		l.decide()
		next := end
		for _, times := range []map[string]time.Time{l.due, l.ends} {
			for _, at := range times {
				if at.Before(next) {
					next = at
				}
			}
		}
		if l.now = next; !l.now.Before(end) {
			return
		}
	}
}

// Each flow at the head of a line is told what has changed, however many lines there are and though nothing else happens.
func TestFlowsOfAllLinesAreTold(t *testing.T) {
	limits := DefaultLimits()
	limits.Executors = 1
	l := newLeader(limits)
	l.plan("holder", "holder@r1*1")
	for i := range 600 {
		l.plan(fmt.Sprintf("f%03d", i), fmt.Sprintf("p%03d@r1*1", i))
	}
	l.pass(10 * time.Second)
	for i := range 400 {
		l.complete(fmt.Sprintf("f%03d", i))
	}
	l.pass(10 * time.Second)
	for i := 400; i < 600; i++ {
		r := l.s.runs[fmt.Sprintf("f%03d", i)]
		if place, then := i-399, i+1; (4*place <= then || place == 1) && r.Told.Place != place {
			t.Fatalf("a flow at place %d was told that it is at place %d", place, r.Told.Place)
		}
	}
}

// A busy queue does not flood EVENTS: a flow is told a few times what it waits for.
func TestBusyQueuesTellLittle(t *testing.T) {
	for _, rate := range []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, time.Second} {
		t.Run(fmt.Sprint("every ", rate), func(t *testing.T) {
			limits := DefaultLimits()
			limits.Executors = 20
			l := newLeader(limits)
			random := rand.New(rand.NewPCG(1, 2))
			l.lasts = func() time.Duration { return time.Duration(random.Int64N(int64(20 * rate))) }
			n := 0
			refill := func() {
				for l.s.queue.Waiting() < 200 {
					needs := []string{"slots=2", "max=5"}
					for p := range 8 {
						if random.IntN(4) == 0 {
							needs = append(needs, fmt.Sprintf("p%d@r1*%d", p, 1+random.IntN(3)*random.IntN(4)))
						}
					}
					if n++; len(needs) > 2 {
						l.plan(fmt.Sprint("f", n), needs...)
						l.decide()
					}
				}
			}
			for range 1000 {
				refill()
				l.pass(rate)
			}
			total, granted := 0, 0
			for id, n := range l.told {
				if l.s.queue.Flow(id) == nil {
					total, granted = total+n, granted+1
				}
			}
			if total > 3*granted {
				t.Errorf("%d granted flows were told %d times what they wait for", granted, total)
			}
		})
	}
}

// Each flow whose executors cannot run is told why, however many there are.
func TestAllStalledFlowsAreTold(t *testing.T) {
	limits := DefaultLimits()
	limits.Executors = 300
	l := newLeader(limits)
	for i := range 300 {
		l.plan(fmt.Sprint("f", i), "a@r1*1", "max=300")
	}
	l.pass(time.Second)
	l.fold(contract.Event{Type: factRunning, With: map[string]string{"a.r1": "no machine has room"}})
	l.pass(time.Second)
	if len(l.told) != 300 {
		t.Errorf("%d of 300 flows were told", len(l.told))
	}
}

// Where nothing comes and goes, executors are neither started nor drained, whatever waits and is to be kept.
func TestQuietQueuesLeaveExecutorsAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := randomLeader(t)
		for i := range rapid.IntRange(1, 20).Draw(t, "steps") {
			l.planRandom(t, fmt.Sprint("f", i))
			l.pass(time.Duration(rapid.IntRange(0, 60).Draw(t, "seconds")) * time.Second)
			if id := fmt.Sprint("f", rapid.IntRange(0, i).Draw(t, "ends")); l.s.runs[id] != nil && l.s.runs[id].Granted {
				l.complete(id)
			}
		}
		l.pass(10 * time.Minute)
		before := l.executors
		l.pass(10 * time.Hour)
		if l.executors != before {
			t.Errorf("%d executors were started or drained while nothing else happened", l.executors-before)
		}
	})
}

// Where all flows end, all are granted, though others keep arriving.
func TestAllFlowsAreGranted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := randomLeader(t)
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		l.lasts = func() time.Duration { return time.Duration(random.Int64N(int64(2 * time.Minute))) }
		for i := range 4 {
			l.planRandom(t, fmt.Sprint("f", i))
		}
		for i := range 250 {
			l.plan(fmt.Sprint("g", i), randomProgdefs[i%len(randomProgdefs)]+"@r1*1", "priority=9")
			l.pass(8 * time.Second)
		}
		for i := range 4 {
			if f := l.s.queue.Flow(fmt.Sprint("f", i)); f != nil {
				t.Errorf("%s still waits", f.ID)
			}
		}
	})
}

var randomProgdefs = []string{"a", "b", "c"}

// randomLeader returns a leader with a few progdefs.
func randomLeader(t *rapid.T) *leader {
	limits := DefaultLimits()
	limits.Executors = rapid.IntRange(1, 6).Draw(t, "limit")
	l := newLeader(limits)
	for _, name := range randomProgdefs {
		most := rapid.IntRange(1, 3).Draw(t, "max")
		_, p := pinned(name+"@r1", []string{fmt.Sprintf("slots=%d", rapid.IntRange(1, 2).Draw(t, "slots")),
			fmt.Sprintf("max=%d", most), fmt.Sprintf("min=%d", rapid.IntRange(0, most).Draw(t, "min"))})
		l.fold(contract.Event{Type: contract.TypeProgdefApplied, Subject: name,
			Data: &contract.ProgdefApplied{Name: name, Revision: p.Revision, Document: p.Document}})
	}
	return l
}

// planRandom plans a flow with up to three jobs of each progdef.
func (l *leader) planRandom(t *rapid.T, flow string) {
	var needs []string
	for _, name := range randomProgdefs {
		if n := rapid.IntRange(0, 3).Draw(t, "jobs"); n > 0 {
			needs = append(needs, fmt.Sprintf("%s@r1*%d", name, n))
		}
	}
	if len(needs) > 0 {
		l.plan(flow, needs...)
	}
}
