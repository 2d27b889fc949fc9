package aggregator

import (
	"slices"

	"github.com/dagyo/dagyo/pkg/contract"
)

// askCancel folds a cancel. The flow may be unknown because its submission is not folded yet.
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

// takeCancel removes the cancels of a newly known flow, and returns the first one.
func (s *State) takeCancel(flow string) (first *cancel) {
	s.cancels = slices.DeleteFunc(s.cancels, func(c cancel) bool {
		if c.Flow == flow && first == nil {
			first = &c
		}
		return c.Flow == flow
	})
	return first
}

// answered removes a message that was answered with a dead letter.
func (s *State) answered(seq uint64) []string {
	delete(s.unanswerable, seq)
	if flow, waits := s.submitted.flows[seq]; waits {
		s.submitted.answered(flow)
	}
	s.cancels = slices.DeleteFunc(s.cancels, func(c cancel) bool { return c.Seq == seq })
	return []string{keyUnanswerable}
}
