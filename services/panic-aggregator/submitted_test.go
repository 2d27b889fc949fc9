package aggregator

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A submission waits until it is answered, by a dead letter if its id is taken. The number of those that wait is
// bounded.
func TestUnansweredSubmissionsAreBounded(t *testing.T) {
	s := NewState(DefaultLimits())
	seq := uint64(0)
	fold := func(e contract.Event) {
		seq++
		e.Seq, e.Time = seq, time.Unix(1_000_000, 0)
		Evolve(s, e)
	}
	waits := func(flow string) bool { _, ok := s.submitted.of[flow]; return ok }
	fold(contract.Event{Type: contract.TypeFlowSubmit, Subject: "repeated"})
	fold(contract.Event{Type: contract.TypeFlowSubmit, Subject: "slow"})
	fold(contract.Event{Type: contract.TypeDeadLetter, Data: &contract.DeadLetter{Sequence: 1}})
	if waits("repeated") || !waits("slow") {
		t.Errorf("%v wait, want slow", s.submitted.of)
	}
	for i := range mostSubmissions + 10 {
		fold(contract.Event{Type: contract.TypeFlowSubmit, Subject: fmt.Sprint("many-", i)})
	}
	b := s.submitted
	if len(b.of) != mostSubmissions || len(b.flows) != mostSubmissions || len(b.order) > mostSubmissions || waits("slow") {
		t.Errorf("%d, %d and %d submissions are known", len(b.of), len(b.flows), len(b.order))
	}
	raw, err := snapshots().Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	again := NewState(DefaultLimits())
	if err := decode(again, raw); err != nil {
		t.Fatal(err)
	}
	if len(again.submitted.order) != mostSubmissions || !slices.IsSorted(again.submitted.order) {
		t.Errorf("%d submissions are restored, sorted: %v", len(again.submitted.order), slices.IsSorted(again.submitted.order))
	}
}

// A flow has an owner from its submission on, also if it is rejected. It is who sent what was rejected.
func TestSubmissionsHaveOwners(t *testing.T) {
	s := NewState(DefaultLimits())
	seq := uint64(0)
	fold := func(e contract.Event) {
		seq++
		e.Seq, e.Time = seq, time.Unix(1_000_000, 0)
		Evolve(s, e)
	}
	owners := func() map[string]string {
		out := make(map[string]string)
		for status := range s.current {
			out[status.Flow] = status.Owner
		}
		return out
	}
	for _, flow := range []string{"waits", "wrong", "other", "good"} {
		fold(contract.Event{Type: contract.TypeFlowSubmit, Subject: flow, By: "ada"})
	}
	for cause, flow := range map[uint64]string{2: "wrong", 77: "other"} {
		fold(contract.Event{
			Type: contract.TypeFlowRejected, Subject: flow, Source: contract.Source("validator"), Cause: cause, Data: &contract.FlowRejected{},
		})
	}
	fold(contract.Event{Type: contract.TypeFlowValidated, Subject: "good", Cause: 4, Data: &contract.FlowValidated{Owner: "ada"}})
	want := map[string]string{"waits": "ada", "wrong": "ada", "other": "", "good": "ada"}
	if got := owners(); !maps.Equal(got, want) {
		t.Errorf("owners are %v", got)
	}
	raw, err := snapshots().Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	if s = NewState(DefaultLimits()); decode(s, raw) != nil || !maps.Equal(owners(), want) {
		t.Errorf("after a snapshot: %v", owners())
	}
}

// An invented executor is not remembered, a known one that drains has not failed to start.
func TestInventedExecutorsAreForgotten(t *testing.T) {
	s := NewState(DefaultLimits())
	Evolve(s, contract.Event{Type: contract.TypeExecutorStarted, Data: &contract.ExecutorStarted{Executor: "known"}})
	for _, id := range []string{"known", "invented"} {
		Evolve(s, contract.Event{Type: contract.TypeExecutorDraining, Data: &contract.ExecutorDraining{Executor: id}})
	}
	if len(s.executors) != 1 || !s.executors["known"].Proved {
		t.Errorf("executors %+v", s.executors)
	}
}

// The last status of an ended flow is found without a search, until history has it.
func TestEndedFlowsAreIndexed(t *testing.T) {
	p := past{last: make(map[string]int)}
	for seq := range uint64(1000) {
		flow := fmt.Sprint("f", seq%500) // each twice
		p.add(seq+1, contract.FlowStatus{Flow: flow, Reason: fmt.Sprint(seq)})
	}
	found := func(flow, reason string) {
		t.Helper()
		if s, ok := p.find(flow); ok != (reason != "") || s.Reason != reason {
			t.Errorf("%s: found %v, %q, want %q", flow, ok, s.Reason, reason)
		}
	}
	found("f7", "507")
	p.stored(508) // up to f7
	found("f7", "")
	found("f8", "508")
	if len(p.last) != len(p.Ended) || len(p.Ended) != 492 {
		t.Errorf("%d flows are indexed, %d are held", len(p.Ended), len(p.Ended))
	}
}
