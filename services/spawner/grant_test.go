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
