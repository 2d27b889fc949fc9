package aggregator

import (
	"reflect"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/wire"
)

// fold adds events to an empty status.
func fold(events ...contract.Event) (s contract.FlowStatus) {
	for _, e := range events {
		e.Subject = "f"
		s = With(s, e)
	}
	return s
}

func TestStatus(t *testing.T) {
	submit := contract.Event{Type: contract.TypeFlowSubmit}
	valid := contract.Event{Type: contract.TypeFlowValidated, Data: &contract.FlowValidated{}}
	planned := contract.Event{Type: contract.TypeFlowPlanned, Data: &contract.FlowPlanned{Jobs: []contract.Job{{Job: "a", Progdef: "p"}}}}
	started := contract.Event{Type: contract.TypeJobStarted, Data: &contract.JobStarted{Job: "a", Executor: "x"}}
	done := contract.Event{Type: contract.TypeJobDone, Data: &contract.JobDone{Job: "a", Executor: "x"}}
	completed := contract.Event{Type: contract.TypeFlowCompleted, Data: &contract.FlowCompleted{}}
	cleaned := contract.Event{Type: contract.TypeFlowCleaned, Data: &contract.FlowCleaned{}}
	rejected := func(by string) contract.Event {
		return contract.Event{Type: contract.TypeFlowRejected, Source: contract.Source(by), Data: &contract.FlowRejected{
			Problems: problem.List{{Code: problem.NotJSON}},
		}}
	}
	tests := map[string]struct {
		events         []contract.Event
		phase, verdict contract.Type
		problems       int
		job            contract.JobState
	}{
		"completed": {
			events: []contract.Event{submit, valid, planned, started, done, completed, cleaned},
			phase:  contract.TypeFlowCleaned, verdict: contract.TypeFlowCompleted, job: contract.JobEnded,
		},
		"out of order and twice": {
			events: []contract.Event{submit, valid, planned, done, started, done, completed, completed},
			phase:  contract.TypeFlowCompleted, verdict: contract.TypeFlowCompleted, job: contract.JobEnded,
		},
		"rejected": {
			events: []contract.Event{submit, rejected("validator")},
			phase:  contract.TypeFlowRejected, verdict: contract.TypeFlowRejected, problems: 1,
		},
		"corrected and submitted again": {
			events: []contract.Event{submit, rejected("validator"), submit, valid, planned},
			phase:  contract.TypeFlowPlanned, job: contract.JobWaiting,
		},
		"rejected by the spawner": {
			events: []contract.Event{submit, valid, planned, rejected("spawner")},
			phase:  contract.TypeFlowRejected, verdict: contract.TypeFlowRejected, problems: 1, job: contract.JobWaiting,
		},
	}
	for name, want := range tests {
		t.Run(name, func(t *testing.T) {
			got := fold(want.events...)
			if got.Phase != want.phase || got.Verdict != want.verdict || len(got.Problems) != want.problems || got.Jobs["a"].State != want.job {
				t.Errorf("got phase %s, verdict %q, %d problems, job %q", got.Phase, got.Verdict, len(got.Problems), got.Jobs["a"].State)
			}
		})
	}
}

// The edges of a running flow show what ended jobs have counted, and what the other readers have consumed.
func TestEdgesOfARunningFlow(t *testing.T) {
	count := func(n int64) *contract.Count { return &contract.Count{Records: n, Bytes: 10 * n} }
	s := contract.FlowStatus{
		Flow: "f", Edges: []contract.EdgeCount{
			{From: "a.out", To: "b.in"}, {From: "b.out", To: "outputs.o"}, {From: "words.out", To: "c.in", Sent: count(9)},
			{From: "inputs.i", To: "a.in"},
		},
		Jobs: map[string]contract.JobStatus{
			"a": {PortCounts: contract.PortCounts{
				Inputs: map[string]contract.Count{"in": *count(4)}, Outputs: map[string]contract.Count{"out": *count(5)},
				ClosedEarly: []string{"in"},
			}},
			"b": {}, "c": {},
		},
	}
	fill(&s, map[string]wire.Credit{
		contract.CreditSubject("0", "f", 0): {Records: 3, Octets: 30},
		contract.CreditSubject("0", "f", 1): {Records: 1, Octets: 10, Closed: true},
		contract.CreditSubject("0", "f", 3): {Records: 1, Octets: 10},
	})
	want := []contract.EdgeCount{
		{From: "a.out", To: "b.in", Sent: count(5), Received: count(3)},
		{From: "b.out", To: "outputs.o", Received: count(1), ClosedEarly: true},
		{From: "words.out", To: "c.in", Sent: count(9)},
		{From: "inputs.i", To: "a.in", Received: count(4), ClosedEarly: true},
	}
	if !reflect.DeepEqual(s.Edges, want) {
		t.Errorf("%+v, want %+v", s.Edges, want)
	}
}

// Between the verdict and the clean-up, the edges show the counts of the verdict, and what clients have read.
func TestEdgesOfAnEndedFlow(t *testing.T) {
	count := func(n int64) *contract.Count { return &contract.Count{Records: n, Bytes: 10 * n} }
	s := contract.FlowStatus{
		Flow: "f", Verdict: contract.TypeFlowCancelled, Edges: []contract.EdgeCount{
			{From: "a.out", To: "b.in", Sent: count(5), Received: count(4), ClosedEarly: true},
			{From: "b.out", To: "outputs.o", Sent: count(3)},
		},
		Jobs: map[string]contract.JobStatus{"a": {}, "b": {}},
	}
	fill(&s, map[string]wire.Credit{
		contract.CreditSubject("0", "f", 0): {Records: 3, Octets: 30},
		contract.CreditSubject("0", "f", 1): {Records: 3, Octets: 30},
	})
	want := []contract.EdgeCount{
		{From: "a.out", To: "b.in", Sent: count(5), Received: count(4), ClosedEarly: true},
		{From: "b.out", To: "outputs.o", Sent: count(3), Received: count(3)},
	}
	if !reflect.DeepEqual(s.Edges, want) {
		t.Errorf("%+v, want %+v", s.Edges, want)
	}
}

// A submission of the same document after the flow has ended is not listed beside the flow.
func TestRepeatedSubmissionIsNoFlow(t *testing.T) {
	s := NewState(DefaultLimits())
	seq := uint64(0)
	show := func(flow string, e contract.Event) {
		seq++
		e.Subject, e.Seq = flow, seq
		s.show(e)
	}
	submit := contract.Event{Type: contract.TypeFlowSubmit}
	for _, e := range []contract.Event{
		submit, {Type: contract.TypeFlowValidated, Data: &contract.FlowValidated{}},
		{Type: contract.TypeFlowCompleted, Data: &contract.FlowCompleted{}},
		{Type: contract.TypeFlowCleaned, Data: &contract.FlowCleaned{}}, submit,
	} {
		show("ended", e)
	}
	rejected := contract.FlowRejected{Problems: problem.List{{Code: problem.NotJSON}}}
	for _, e := range []contract.Event{
		submit, {Type: contract.TypeFlowRejected, Source: contract.Source("validator"), Data: &rejected}, submit,
	} {
		show("rejected", e)
	}
	if _, waits := s.submitted.of["ended"]; waits {
		t.Error("the flow that has ended waits for an answer")
	}
	if _, waits := s.submitted.of["rejected"]; !waits {
		t.Error("the corrected submission does not wait for an answer")
	}
}
