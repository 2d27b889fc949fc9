package core

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
)

// Unprocessed is a message that could not be decoded or folded, and has no answer yet. It is read again when it is
// answered, so each message of a flood takes only a few bytes of memory.
type Unprocessed struct {
	Seq uint64 `json:"seq"`
	// Why is the reason why the message could not be folded; "" if it could not be decoded.
	Why string `json:"why,omitempty"`
}

// answerBatch limits the messages that one task answers.
const answerBatch = 64

// keyUnprocessed is the key of all unprocessed messages.
const keyUnprocessed = ownKey + "unprocessed"

func (c *Core[S]) setUnprocessed(u Unprocessed) {
	c.unprocessed = append(c.unprocessed, u)
	c.touch(keyUnprocessed)
}

// answerUnprocessed returns the effects that answer the first unprocessed messages. The worker fills in the answers.
func (c *Core[S]) answerUnprocessed() (effects []contract.Event) {
	for _, u := range c.unprocessed[:min(len(c.unprocessed), answerBatch)] {
		effects = append(effects, contract.Event{
			Type: contract.TypeDeadLetter, Subject: "deadletter", Cause: u.Seq, With: u,
		})
	}
	return effects
}

// forgetAnswered drops the unprocessed message that an event answers.
func (c *Core[S]) forgetAnswered(e contract.Event) {
	if len(c.unprocessed) == 0 || e.Type == "" {
		return
	}
	seq := e.Cause
	if d, ok := e.Data.(*contract.DeadLetter); ok {
		seq = d.Sequence
	}
	i, found := slices.BinarySearchFunc(c.unprocessed, seq, func(u Unprocessed, seq uint64) int {
		return cmp.Compare(u.Seq, seq)
	})
	if !found {
		return
	}
	c.Stats.Refused++
	if i == 0 { // they are usually answered in order
		c.unprocessed = c.unprocessed[1:]
	} else {
		c.unprocessed = slices.Delete(c.unprocessed, i, i+1)
	}
}

// answer returns the answer to an unprocessed message: a rejection of a submission that names its flow, a dead letter
// for anything else. The service replaces the rejection by a dead letter if the id is taken. m is nil if EVENTS no
// longer holds the message.
func (u Unprocessed) answer(m *event.Stored, data []byte) contract.Event {
	failure := func(message, hint string) problem.List {
		return problem.List{{Code: problem.InternalFailure, Message: message, Hint: hint}}
	}
	if m == nil {
		return contract.NewDeadLetter("", u.Seq, failure("the message was deleted; "+u.Why, ""))
	}
	problems := m.Problems
	switch {
	case u.Why != "":
		problems = failure(u.Why, "")
	case len(problems) == 0: // it can be read now
		problems = failure("the message's data could not be read in time", "send it again")
	}
	if m.Event.Type == contract.TypeFlowSubmit && m.Event.Subject != "" {
		return contract.Event{
			Type: contract.TypeFlowRejected, Subject: m.Event.Subject, Cause: u.Seq, Opens: true,
			Data: &contract.FlowRejected{Problems: problems},
		}
	}
	return about(contract.NewDeadLetter(m.Subject, u.Seq, problems), m, data)
}

// about returns a dead letter with what is known about the message that it answers; m is nil if EVENTS no longer holds
// the message.
func about(letter contract.Event, m *event.Stored, data []byte) contract.Event {
	d, ok := letter.Data.(*contract.DeadLetter)
	if !ok || m == nil {
		return letter
	}
	filled := *d
	filled.Subject, filled.Source, filled.ID = m.Subject, m.Event.Source, m.Event.ID
	filled.Excerpt = contract.Excerpt(data)
	letter.Data = &filled
	return letter
}

// refusal returns the event that reports why an effect of a task is given up: a rejection of the flow that the effect,
// or the last one of the task, is about; or a dead letter if there is no such flow, or it has ended.
func refusal(failed contract.Event, effects []contract.Event, p problem.Problem) contract.Event {
	about := failed
	if about.Flow() == "" {
		about = effects[len(effects)-1]
	}
	if about.Flow() == "" || about.EndsFlow() || about.Type == contract.TypeFlowCleaned {
		p.Message = fmt.Sprintf("%s of %s: %s", failed.Type, failed.Subject, p.Message)
		return contract.NewDeadLetter(string(failed.Type), failed.Cause, problem.List{p})
	}
	return contract.Event{
		Type: contract.TypeFlowRejected, Subject: about.Subject, Trace: about.Trace, Cause: failed.Cause,
		Opens: about.Opens, Data: &contract.FlowRejected{Problems: problem.List{p}},
	}
}

// Taken is the problem of a submission with the id of another flow.
func Taken(flow string) problem.Problem {
	return problem.Problem{
		Code:    problem.IDTaken,
		Message: fmt.Sprintf("flow id %q is taken: another document was submitted under it", flow),
		Hint:    "submit it under another id; the flow that has the id is not affected",
	}
}
