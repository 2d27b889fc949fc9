package aggregator

import (
	"slices"

	"github.com/dagyo/dagyo/pkg/contract"
)

// askCancel takes in that somebody wants a flow to end. A flow that is not known yet may be on its way.
func (s *State) askCancel(e contract.Event, d *contract.FlowCancel) []string {
	c := cancel{Seq: e.Seq, ID: e.ID, Flow: e.Subject, By: e.Source, Reason: d.Reason, At: e.Time}
	r := s.runs[e.Subject]
	switch {
	case r == nil && s.shown[e.Subject] != nil && s.shown[e.Subject].Verdict != "":
		return nil // it has ended
	case r == nil:
		s.cancels = append(s.cancels, c)
		return []string{keyUnanswerable}
	case r.Cancel == nil:
		r.Cancel, r.CancelledFirst = &c, len(r.Failures) == 0
		r.beginEnding(e.Time)
	}
	return []string{e.Subject}
}

// takeCancel removes the cancels of a flow that is known now, and returns the first.
func (s *State) takeCancel(flow string) (first *cancel) {
	s.cancels = slices.DeleteFunc(s.cancels, func(c cancel) bool {
		if c.Flow == flow && first == nil {
			first = &c
		}
		return c.Flow == flow
	})
	return first
}

// answered forgets a message that a dead letter answers.
func (s *State) answered(seq uint64) []string {
	delete(s.unanswerable, seq)
	s.submitted.answered(s.submitted.flows[seq])
	s.cancels = slices.DeleteFunc(s.cancels, func(c cancel) bool { return c.Seq == seq })
	return []string{keyUnanswerable}
}
