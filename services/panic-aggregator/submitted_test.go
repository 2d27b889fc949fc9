package aggregator

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A submission that repeats a flow in history gets no answer. It is forgotten once later ones are answered, and there
// are never more than a bounded number.
func TestUnansweredSubmissionsAreForgotten(t *testing.T) {
	s := NewState(DefaultLimits())
	at := time.Unix(1_000_000, 0)
	seq := uint64(0)
	fold := func(e contract.Event) {
		seq++
		e.Seq, e.Time = seq, at
		s.show(e)
	}
	waits := func(flow string) bool { _, ok := s.submitted.of[flow]; return ok }
	fold(contract.Event{Type: contract.TypeFlowSubmit, Subject: "repeated"})
	at = at.Add(2 * answerWait)
	fold(contract.Event{Type: contract.TypeFlowSubmit, Subject: "slow"})
	fold(contract.Event{Type: contract.TypeFlowSubmit, Subject: "next"})
	if !waits("repeated") || !waits("slow") {
		t.Fatal("a submission is forgotten while nothing is answered")
	}
	fold(contract.Event{Type: contract.TypeFlowValidated, Subject: "next", Cause: 3, Data: &contract.FlowValidated{}})
	if waits("repeated") || waits("next") || !waits("slow") {
		t.Errorf("%v wait, want slow", s.submitted.of)
	}
	at = at.Add(2 * answerWait)
	fold(contract.Event{Type: contract.TypeFlowSubmit, Subject: "taken"})
	if s.answered(seq, at); waits("slow") || waits("taken") || len(s.submitted.order) > 0 {
		t.Errorf("%v wait after a dead letter", s.submitted.of)
	}
	fold(contract.Event{Type: contract.TypeFlowSubmit, Subject: "slow"})
	for i := range mostSubmissions + 10 {
		fold(contract.Event{Type: contract.TypeFlowSubmit, Subject: fmt.Sprint("many-", i)})
	}
	b := s.submitted
	if len(b.of) != mostSubmissions || len(b.flows) != mostSubmissions || len(b.order) > mostSubmissions || waits("slow") {
		t.Errorf("%d, %d and %d submissions are known", len(b.of), len(b.flows), len(b.order))
	}
	raw, err := encode(s)
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
