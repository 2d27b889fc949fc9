package judge

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/faults/internal/load"
	"github.com/dagyo/dagyo/tests/faults/internal/schedule"
)

var start = time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

func event(t contract.Type, second int, data any) contract.Event {
	return contract.Event{Type: t, Subject: "f", Time: at(second), Data: data}
}

func panicked(kind contract.Kind, executor string) contract.Event {
	return event(contract.TypeFlowPanic, 10, &contract.FlowPanic{Cause: contract.JobFailure{
		Job: "a", Executor: executor, Failure: contract.Failure{Kind: kind, Message: "gone"},
	}})
}

var (
	validated = event(contract.TypeFlowValidated, 1, nil)
	completed = event(contract.TypeFlowCompleted, 10, nil)
	withdrawn = event(contract.TypeFlowCancelled, 10, &contract.FlowCancelled{Source: "/dagyo/panic-aggregator", Reason: "client is gone"})
)

func TestJudge(t *testing.T) {
	completes := load.Flow{ID: "f", Tenant: "t", Want: contract.TypeFlowCompleted}
	panics := load.Flow{ID: "f", Tenant: "t", Want: contract.TypeFlowPanic, Kinds: []contract.Kind{contract.KindError}}
	step := func(text string, began, end int) Step {
		s, err := schedule.Parse("servers 1\ntenants 1\nflows 1\n" + text)
		if err != nil {
			t.Fatal(err)
		}
		return Step{s.Steps[0], at(began), at(end)}
	}
	for _, c := range []struct {
		name   string
		flow   load.Flow
		events []contract.Event
		result load.Result
		steps  []Step
		killed string
		files  bool
		want   string // the beginning of the finding, or what is excused, or "right"
	}{
		{name: "as it should", flow: completes, events: []contract.Event{validated, completed}, want: "right"},
		{name: "two verdicts", flow: completes, events: []contract.Event{validated, completed, completed}, want: "one verdict: t/f: it has 2"},
		{name: "none", flow: completes, events: []contract.Event{validated}, want: "one verdict: t/f: it has 0"},
		{name: "wrong output", flow: completes, events: []contract.Event{validated, completed}, result: load.Result{Wrong: "too short"}, want: "outputs are exact: t/f: too short"},
		{name: "rejected", flow: completes, events: []contract.Event{event(contract.TypeFlowRejected, 1, nil)}, want: "the verdict is justified: t/f: it was rejected"},
		{name: "never accepted", flow: completes, want: "a submission is answered: t/f"},
		{name: "never accepted in a partition", flow: completes, steps: []Step{step("1s partition clients 5s", 1, 6)}, want: unheard},
		{name: "its own panic", flow: panics, events: []contract.Event{validated, panicked(contract.KindError, "")}, result: load.Result{Code: 4}, want: "right"},
		{name: "another panic", flow: panics, events: []contract.Event{validated, panicked(contract.KindProtocol, "")}, result: load.Result{Code: 4}, want: "the verdict is justified: t/f: panic of kind protocol in job a"},
		{name: "no panic", flow: panics, events: []contract.Event{validated, completed}, want: "the verdict is justified: t/f: flow.completed, want flow.panic"},
		{name: "a killed executor", flow: completes, events: []contract.Event{validated, panicked(contract.KindCrash, "x")}, result: load.Result{Code: 4}, killed: "x", want: "crash"},
		{name: "another executor was killed", flow: completes, events: []contract.Event{validated, panicked(contract.KindCrash, "y")}, result: load.Result{Code: 4}, killed: "x", want: "the verdict is justified: t/f: panic of kind crash"},
		{name: "a paused service", flow: completes, events: []contract.Event{validated, panicked(contract.KindLostHealth, "y")}, result: load.Result{Code: 4}, steps: []Step{step("1s pause spawner 9s", 1, 9)}, want: "the verdict is justified: t/f: panic of kind lost-health"},
		{name: "the broker was killed", flow: completes, events: []contract.Event{validated, panicked(contract.KindLostEdges, "y")}, result: load.Result{Code: 4}, steps: []Step{step("1s broker-kill 1s", 1, 2)}, want: "lost-edges"},
		{name: "the broker was killed, with files", flow: completes, events: []contract.Event{validated, panicked(contract.KindLostEdges, "y")}, result: load.Result{Code: 4}, steps: []Step{step("1s broker-kill 1s", 1, 2)}, files: true, want: "the verdict is justified: t/f: panic of kind lost-edges"},
		{name: "the broker was killed later", flow: completes, events: []contract.Event{validated, panicked(contract.KindLostEdges, "y")}, result: load.Result{Code: 4}, steps: []Step{step("1s broker-kill 1s", 11, 12)}, want: "the verdict is justified: t/f: panic of kind lost-edges"},
		{name: "the client does not know", flow: completes, events: []contract.Event{validated, completed}, result: load.Result{Code: 8}, want: "the client reports the verdict: t/f: flow.completed, and its client exited with 8"},
		{name: "the client was cut off", flow: completes, events: []contract.Event{validated, completed}, result: load.Result{Code: 8}, steps: []Step{step("1s partition clients 5s", 1, 6)}, want: gaveUp},
		{name: "the client was cut off before it knew of its flow", flow: completes, events: []contract.Event{validated, withdrawn}, result: load.Result{Code: 8}, steps: []Step{step("1s broker-stop 5s", 1, 6)}, want: gaveUp},
		{name: "cancelled by nobody", flow: completes, events: []contract.Event{validated, withdrawn}, result: load.Result{Code: 5}, want: "the verdict is justified: t/f: cancelled by /dagyo/panic-aggregator: client is gone"},
		{name: "cancelled by its user", flow: load.Flow{ID: "f", Tenant: "t", Want: contract.TypeFlowCancelled, Signal: syscall.SIGINT}, events: []contract.Event{validated, withdrawn}, result: load.Result{Code: 5}, want: "right"},
		{name: "its client was killed", flow: load.Flow{ID: "f", Tenant: "t", Want: contract.TypeFlowCancelled, Signal: syscall.SIGKILL}, events: []contract.Event{validated, withdrawn}, result: load.Result{Code: -1}, want: "right"},
		{name: "started twice", flow: completes, events: []contract.Event{
			validated, event(contract.TypeJobStarted, 2, &contract.JobStarted{Job: "a", Executor: "x"}), event(contract.TypeJobStarted, 3, &contract.JobStarted{Job: "a", Executor: "y"}), completed,
		}, want: "no job is started twice: t/f: job a by x and by y"},
	} {
		res := c.result
		res.Flow, res.Began, res.End = &c.flow, at(0), at(10)
		r := Run{
			Schedule: schedule.Schedule{Files: c.files}, Steps: c.steps, Results: []*load.Result{&res},
			Events: map[string][]contract.Event{"t": c.events}, Killed: map[string]bool{c.killed: true},
		}
		s := Judge(r)
		var got []string
		for _, f := range s.Findings {
			got = append(got, f.String())
		}
		for why := range s.Excused {
			got = append(got, why)
		}
		if s.Right == 1 && len(got) == 0 {
			got = append(got, "right")
		}
		if len(got) != 1 || !strings.HasPrefix(got[0], c.want) || s.Flows != 1 {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// What is left is found, whatever the flows did.
func TestLeft(t *testing.T) {
	s := Judge(Run{Left: []string{"3 messages"}})
	if got := fmt.Sprint(s.Findings); !slices.Equal(s.Findings, []Finding{{NothingLeft, "", "3 messages"}}) {
		t.Error(got)
	}
}
