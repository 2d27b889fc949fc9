package event

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
)

// A Place is a message of EVENTS: its number, and when the broker stored it.
type Place struct {
	Seq uint64    `json:"seq"`
	At  time.Time `json:"at"`
}

// Stored is one message of EVENTS, as read by services.
type Stored struct {
	Place
	Subject string
	Type    contract.Type // according to the subject
	// Event is empty, except for its Seq, until Decode is called.
	Event contract.Event
	// Size is the approximate size of the message in EVENTS, in bytes.
	Size int
	// Problems explain why the message is not an event.
	Problems problem.List
}

// NewStored returns a message that is not decoded yet.
func NewStored(at Place, subject string) *Stored {
	return &Stored{Place: at, Subject: subject, Type: contract.TypeOf(subject), Event: contract.Event{Seq: at.Seq}}
}

// relayed is a header of the answers of JetStream's direct get. No publisher sets it.
const relayed = "Nats-Stream"

// Decode reads the event. header and data are those that EVENTS has stored. It rejects a message that the broker itself
// has published as an answer: whoever requests a stored message chooses the subject on which it arrives. It rejects an event that contradicts itself or its sender, and a cancellation that cannot be
// carried out.
func (m *Stored) Decode(header nats.Header, data []byte) {
	var err error
	m.Event, err = Decode(m.Subject, header, data)
	m.Event.Seq = m.Seq
	reporter := m.Event.ReportedBy()
	if stream := header.Get(relayed); stream != "" {
		m.Problems = problem.List{{
			Code:    problem.Relayed,
			Message: fmt.Sprintf("the message was not published here: it is a copy of one in stream %s", document.Quote(stream)),
			Hint:    "request stored messages with a reply subject of your own inbox",
		}}
	} else if err != nil {
		m.Fail(err)
	} else if m.Event.By != "" && reporter != "" && reporter != m.Event.By {
		m.Problems = problem.List{notItsOwn(m.Event)}
	} else if why := m.Event.Inconsistency(); why != "" {
		m.Problems = problem.List{{Code: problem.NotAnswerable, Message: "the event contradicts itself: " + why}}
	}
	if len(m.Event.Problems) > 0 && m.Type == contract.TypeFlowCancel {
		m.Problems = m.Event.Problems
	}
}

// notItsOwn is the problem of an event that an executor published in the name of another one.
func notItsOwn(e contract.Event) problem.Problem {
	return problem.Problem{
		Code:    problem.NotYours,
		Message: fmt.Sprintf("%s published %s as executor %s", e.By, e.Type, document.Quote(e.ReportedBy())),
		Hint:    "an executor publishes only on subjects with its own id",
	}
}

// Fail records why the message is not an event. The first reason is kept: it is the cause of the others.
func (m *Stored) Fail(err error) {
	var unreadable *Unreadable
	if !errors.As(err, &unreadable) {
		m.Problems = problem.List{{Code: problem.InternalFailure, Message: err.Error()}}
	} else if m.Problems == nil {
		m.Problems = unreadable.Problems
	}
}
