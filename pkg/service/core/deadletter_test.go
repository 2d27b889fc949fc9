package core

import (
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
)

// A dead letter names the sender of the message, as far as it could be read.
func TestDeadLettersKeepTheSender(t *testing.T) {
	m := event.NewStored(event.Place{Seq: 3}, "progdef.apply")
	m.Event.ID, m.Event.Source = "7", "/me"
	m.Problems = problem.List{{Code: problem.NotCloudEvent, Pointer: "/time", Message: "wrong"}}
	e := Unprocessed{Seq: 3}.answer(m, []byte("{}"))
	d, ok := e.Data.(*contract.DeadLetter)
	if !ok || d.ID != "7" || d.Source != "/me" || d.Sequence != 3 || d.Subject != "progdef.apply" {
		t.Errorf("got %+v", e.Data)
	}
}
