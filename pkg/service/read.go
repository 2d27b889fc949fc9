package service

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
)

// begin returns a message as far as its subject tells; whole is set if the service has a use for the rest.
func (c *core[S]) begin(subject string) (m *message, whole bool) {
	m = &message{subject: subject, kind: contract.TypeOf(subject)}
	return m, c.wants(m.kind) || m.kind == contract.TypeDeadLetter || m.kind == contract.TypeTick
}

// read decodes a message if the service has a use for it.
func (r *Runtime[S]) read(ctx context.Context, subject string, header nats.Header, data []byte) *message {
	m, whole := r.core.begin(subject)
	if !whole {
		return m
	}
	// A submission's document is had when it is judged: nothing else needs it, and it may be anywhere.
	if m.kind != contract.TypeFlowSubmit {
		var err error
		if data, err = r.resolve(ctx, subject, header, data); err != nil {
			m.refuse(err)
		}
	}
	m.decode(header, data)
	return m
}

func (m *message) decode(header nats.Header, data []byte) {
	var err error
	m.event, err = event.Decode(m.subject, header, data)
	if err != nil {
		m.refuse(err)
	}
	if why := m.event.Inconsistency(); err == nil && why != "" {
		m.problems = problem.List{{Code: problem.NotAnswerable, Message: "the event contradicts itself: " + why}}
	}
	if len(m.event.Problems) > 0 && m.kind == contract.TypeFlowCancel { // a command that nobody can carry out
		m.problems = m.event.Problems
	}
}

// refuse notes why the message is not an event.
func (m *message) refuse(err error) {
	var unreadable *event.Unreadable
	if !errors.As(err, &unreadable) {
		m.problems = problem.List{{Code: problem.InternalFailure, Message: err.Error()}}
		return
	}
	if m.problems == nil { // what comes first is the cause
		m.problems = unreadable.Problems
	}
}

// resolveTries bounds how often data by reference is asked for before its event is set aside.
const resolveTries = 3

// resolve returns the message's body with the data that it may refer to. Such an event of a service is rare,
// and small things do not wait for it for long: what cannot be had in a few tries is unreadable.
func (r *Runtime[S]) resolve(ctx context.Context, subject string, header nats.Header, data []byte) ([]byte, error) {
	for attempt := 1; ; {
		whole, err := r.link.Resolve(ctx, header, data)
		var unreadable *event.Unreadable
		if err == nil || errors.As(err, &unreadable) || ctx.Err() != nil || attempt == resolveTries {
			return whole, err
		}
		r.log.Warn().Err(err).Str("event", subject).Msg("cannot get an event's data; trying again")
		pause(ctx, time.Second)
		if r.link.IsConnected() { // else it says nothing of the data
			attempt++
		}
	}
}
