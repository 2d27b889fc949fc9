package service

import (
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
)

// A dead letter says who sent the message, as far as that could be read.
func TestDeadLettersKeepTheSender(t *testing.T) {
	m := &message{
		subject: "progdef.apply", event: contract.Event{ID: "7", Source: "/me"},
		problems: problem.List{{Code: problem.NotCloudEvent, Pointer: "/time", Message: "wrong"}},
	}
	e := answerOutcast(m, []byte("{}"), outcast{Seq: 3})
	d, ok := e.Data.(*contract.DeadLetter)
	if !ok || d.ID != "7" || d.Source != "/me" || d.Sequence != 3 || d.Subject != "progdef.apply" {
		t.Errorf("got %+v", e.Data)
	}
}
