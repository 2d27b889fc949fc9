package event_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
)

func jobDone(executor string) contract.Event {
	return event.New(contract.TypeJobDone, "/dagyo/executor/"+executor, "f", &contract.JobDone{Job: "j", Executor: executor},
		time.Unix(1, 0))
}

// A named sender is in the NATS subject, and only there.
func TestSenderIsTheSubjects(t *testing.T) {
	e := jobDone("x1")
	e.By = "x1"
	m, err := event.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	if m.Subject != "job.done.f.j.by.x1" || strings.Contains(string(m.Data), `"by"`) {
		t.Errorf("%s: %s", m.Subject, m.Data)
	}
	for subject, want := range map[string]contract.Sender{
		"job.done.f.j.by.x1": {Name: "x1"}, "job.done.f.j.by.x2": {Name: "x2"}, "job.done.f.j": {},
	} {
		back, err := event.Decode(subject, m.Header, m.Data)
		if err != nil || back.Sender() != want || back.NATSSubject() != "job.done.f.j" {
			t.Errorf("%s: %+v, %v", subject, back, err)
		}
	}
	structured := `{"specversion":"1.0","id":"1","source":"/me","type":"flow.cancel","subject":"f","by":"ada","data":{}}`
	cancel, err := event.Decode("flow.cancel.operator.eve", structuredHeader(), []byte(structured))
	if err != nil || cancel.By != "eve" || !cancel.Operator {
		t.Errorf("an attribute replaces the proven sender: %+v, %v", cancel, err)
	}
}

func TestSendersOfOtherEvents(t *testing.T) {
	for _, subject := range []string{
		"flow.completed.f.by.x1", "executor.exited.p.x1.by.x1", "deadletter.by.x1", "tick.by.x1", "flow.submit.operator.ada",
		"job.done.f.j.operator.ada", "job.done.f.j.by.A", "job.done.f.j.by.", "events.flow.completed.f.by.x1", "ask.flow.get.by.x1",
		"job.done.f.j.by.x2.by.x1", "by.x1", "flow.submit.ada", "job.done.f.j.x1",
	} {
		if e, err := event.Decode(subject, nil, []byte("{}")); err == nil || e.By != "" {
			t.Errorf("%s is accepted: %+v", subject, e)
		}
	}
	for _, e := range []contract.Event{
		{Type: contract.TypeFlowSpawned, Subject: "f", Data: &contract.FlowSpawned{}, By: "ada"},
		{Type: contract.TypeJobDone, Subject: "f", Data: &contract.JobDone{Job: "j"}, By: "Not a name"},
		{Type: contract.TypeJobDone, Subject: "f", Data: &contract.JobDone{Job: "j"}, By: "x1", Operator: true},
	} {
		e.Source, e.ID, e.Time = "/me", "1", time.Unix(1, 0)
		if m, err := event.Encode(e); err == nil {
			t.Errorf("encoded for %s", m.Subject)
		}
	}
}

// An executor cannot publish in the name of another one.
func TestExecutorsPublishAsThemselves(t *testing.T) {
	for subject, want := range map[string]problem.Code{
		"job.done.f.j.by.x1": "", "job.done.f.j.by.x2": problem.NotYours, "job.done.f.j": "",
	} {
		m, err := event.Encode(jobDone("x1"))
		if err != nil {
			t.Fatal(err)
		}
		stored := event.NewStored(event.Place{Seq: 7}, subject)
		stored.Decode(m.Header, m.Data)
		var got problem.Code
		if len(stored.Problems) > 0 {
			got = stored.Problems[0].Code
		}
		if got != want || stored.Type != contract.TypeJobDone {
			t.Errorf("%s: %q, want %q", subject, got, want)
		}
	}
	drains := event.New(contract.TypeExecutorDraining, "/x", "x1", &contract.ExecutorDraining{
		Executor: "x1", Progdef: "p", Revision: "r", Reason: "told to",
	}, time.Unix(1, 0))
	m, err := event.Encode(drains)
	if err != nil {
		t.Fatal(err)
	}
	stored := event.NewStored(event.Place{Seq: 7}, "executor.draining.p.x1.by.x2")
	stored.Decode(nats.Header(m.Header), m.Data)
	if len(stored.Problems) != 1 || stored.Problems[0].Code != problem.NotYours {
		t.Errorf("another executor drains it: %v", stored.Problems)
	}
}
