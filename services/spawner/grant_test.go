package spawner

import (
	"slices"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A leader that dies between putting a flow's jobs on their mailboxes and flow.spawned is followed by one that puts
// there no job that has started: EVENTS may have forgotten job.started by then, and would take a second one.
func TestStartedJobsAreNotPutOnMailboxesAgain(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	s := NewState(DefaultLimits(), nil)
	for _, e := range []contract.Event{
		{Type: contract.TypeFlowValidated, Subject: "f"},
		{Type: contract.TypeFlowPlanned, Subject: "f", Data: planned("f", []string{"greet@r1*3", "slots=3"})},
		{Type: contract.TypeJobStarted, Subject: "f", Data: &contract.JobStarted{Job: "greet-0", Executor: "greet-x-1"}},
		{Type: contract.TypeJobDone, Subject: "f", Data: &contract.JobDone{Job: "greet-0", Executor: "greet-x-1"}},
		{Type: contract.TypeJobStarted, Subject: "f", Data: &contract.JobStarted{Job: "greet-2", Executor: "greet-x-1"}},
	} {
		e.Time = now
		Evolve(s, e)
	}
	effects, _ := Decide(s, keyFlow+"f", now)
	at := slices.IndexFunc(effects, func(e contract.Event) bool { return e.Type == contract.TypeFlowSpawned })
	if at < 0 {
		t.Fatalf("the flow is not spawned: %+v", effects)
	}
	if jobs := effects[at].With.([]contract.Job); len(jobs) != 1 || jobs[0].Job != "greet-1" {
		t.Errorf("%+v are put on mailboxes, want greet-1", jobs)
	}
}

// A decision that passes over an executor, because its draining is in flight, is due again if the draining fails.
func TestFailedEffectsAreDecidedAgain(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	s := NewState(DefaultLimits(), nil)
	mailbox := contract.Mailbox("greet", "r1")
	for _, e := range []contract.Event{
		{Type: contract.TypeFlowValidated, Subject: "f"},
		{Type: contract.TypeFlowPlanned, Subject: "f", Data: planned("f", []string{"greet@r1*1"})},
		{Type: contract.TypeExecutorStarted, Subject: "x", Data: &contract.ExecutorStarted{Executor: "x", Progdef: "greet", Revision: "r1"}},
	} {
		e.Time = now
		Evolve(s, e)
	}
	_, before := Decide(s, keyTend+mailbox, now)
	draining := contract.Event{
		Type: contract.TypeExecutorDraining, Subject: "x", Data: &contract.ExecutorDraining{Executor: "x", Progdef: "greet", Revision: "r1"},
	}
	if keys := inFlight(s, draining, true); len(keys) > 0 {
		t.Errorf("%v are due when the draining begins", keys)
	}
	if effects, next := Decide(s, keyTend+mailbox, now); len(effects) > 0 || !next.IsZero() {
		t.Errorf("decided %v, next %v while it is in flight", effects, next)
	}
	if keys := inFlight(s, draining, false); !slices.Contains(keys, keyTend+mailbox) {
		t.Errorf("%v are due when the draining has failed", keys)
	}
	if _, after := Decide(s, keyTend+mailbox, now); !after.Equal(before) {
		t.Errorf("the next decision is at %v, before it was at %v", after, before)
	}
	spawned := contract.Event{Type: contract.TypeFlowSpawned, Subject: "f", Data: &contract.FlowSpawned{}}
	inFlight(s, spawned, true)
	if keys := inFlight(s, spawned, false); !slices.Contains(keys, keyFlow+"f") {
		t.Errorf("%v are due when the flow was not spawned", keys)
	}
}

// Of flows that arrive together, those are rejected that arrived when the queue was full, and no others.
func TestFullQueuesKeepTheFirst(t *testing.T) {
	for _, set := range []func(*Limits){
		func(l *Limits) { l.Queue = 3 }, func(l *Limits) { l.Tenant.Waiting = 3 }, func(l *Limits) { l.User.Waiting = 3 },
	} {
		now := time.Unix(1_000_000, 0)
		l := DefaultLimits()
		set(&l)
		s := NewState(l, nil)
		s.limits.Executors = 1
		plan := func(seq uint64, id string) {
			for _, e := range []contract.Event{
				{Type: contract.TypeFlowValidated, Subject: id},
				{Type: contract.TypeFlowPlanned, Subject: id, Data: planned(id, []string{"a@r1*1", "max=1"})},
			} {
				e.Seq, e.Time = seq, now
				Evolve(s, e)
			}
		}
		plan(1, "first")
		Evolve(s, contract.Event{Type: contract.TypeFlowSpawned, Subject: "first", Time: now, Data: &contract.FlowSpawned{}})
		var rejected []string
		for i := range 6 {
			plan(uint64(i+2), string(rune('a'+i)))
		}
		for _, f := range s.queue.Flows() {
			effects, _ := Decide(s, keyFlow+f.ID, now)
			for _, e := range effects {
				if e.Type == contract.TypeFlowRejected {
					rejected = append(rejected, e.Subject)
				}
			}
		}
		if !slices.Equal(rejected, []string{"d", "e", "f"}) {
			t.Errorf("%+v: rejected %v, want d, e, f", l, rejected)
		}
	}
}
