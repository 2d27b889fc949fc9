package service

import (
	"fmt"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
)

// asideBatch bounds the messages that one flight answers.
const asideBatch = 64

// decideAside answers messages that were set aside. What they say is read again when they are answered, so
// that a flood of them costs a number each in memory.
func (c *core[S]) decideAside() []*flight {
	if len(c.aside) == 0 {
		return nil
	}
	var effects []contract.Event
	for _, o := range c.aside[:min(len(c.aside), asideBatch)] {
		effects = append(effects, contract.Event{
			Type: contract.TypeDeadLetter, Subject: "deadletter", Cause: o.Seq, With: o,
		})
	}
	if f := c.launch(effects, keyAside); f != nil {
		return []*flight{f}
	}
	return nil
}

// answerOutcast is the answer to a message that was set aside: a submission that says which flow it is about
// is rejected, all else is a dead letter.
func answerOutcast(m *message, raw []byte, o outcast) contract.Event {
	problems := m.problems
	switch {
	case o.Why != "":
		problems = problem.List{{Code: problem.InternalFailure, Message: o.Why}}
	case len(problems) == 0:
		problems = problem.List{{
			Code: problem.InternalFailure, Message: "what the message refers to could not be had in time",
			Hint: "send it again",
		}}
	}
	if m.event.Type == contract.TypeFlowSubmit && m.event.Subject != "" {
		return contract.Event{
			Type: contract.TypeFlowRejected, Subject: m.event.Subject, Cause: o.Seq, Opens: true,
			Data: &contract.FlowRejected{Problems: problems},
		}
	}
	return deadLetter(m.subject, o.Seq, problems, raw)
}

// notKept answers a message that was set aside and that EVENTS does not have any more.
func notKept(o outcast) contract.Event {
	return deadLetter("", o.Seq, problem.List{{
		Code: problem.InternalFailure, Message: "the message is not kept any more; " + o.Why,
	}}, nil)
}

// refusal is the event that says why an effect will not come true: a rejection of the flow that it is about,
// or that it is for; a dead letter where there is none, or where the flow has ended.
func refusal(failed contract.Event, group []contract.Event, p problem.Problem) contract.Event {
	about := failed
	if last := group[len(group)-1]; about.Flow() == "" {
		about = last
	}
	if about.Flow() == "" || about.EndsFlow() || about.Type == contract.TypeFlowCleaned {
		what := fmt.Sprintf("%s of %s: %s", failed.Type, failed.Subject, p.Message)
		p.Message = what
		return deadLetter(string(failed.Type), failed.Cause, problem.List{p}, nil)
	}
	return contract.Event{
		Type: contract.TypeFlowRejected, Subject: about.Subject, TraceParent: about.TraceParent, Cause: failed.Cause,
		Opens: about.Opens,
		Data:  &contract.FlowRejected{Problems: problem.List{p}},
	}
}

const excerptLimit = 512

func deadLetter(subject string, seq uint64, problems problem.List, raw []byte) contract.Event {
	return contract.Event{
		Type: contract.TypeDeadLetter, Subject: "deadletter", Cause: seq,
		Data: &contract.DeadLetter{
			Subject: subject, Sequence: seq, Problems: problems, Excerpt: excerpt(raw),
		},
	}
}

func excerpt(raw []byte) string {
	return string([]rune(string(raw[:min(len(raw), excerptLimit)])))
}

// needs returns the first message of EVENTS that the state refers to, 0 where it refers to none.
func (c *core[S]) needs() (first uint64) {
	if c.s.Snapshot.Needs != nil {
		first = c.s.Snapshot.Needs(c.state)
	}
	if len(c.aside) > 0 && (first == 0 || c.aside[0].Seq < first) {
		first = c.aside[0].Seq
	}
	return first
}

// restore goes on behind a place, with the messages that were aside there.
func (c *core[S]) restore(at place, aside []outcast) {
	c.at, c.now, c.aside = at, at.At, aside
}
