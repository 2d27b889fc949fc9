package cli

import (
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
)

// A story tracks the events of a flow from its start, to detect the last one.
type story struct {
	stored, told uint64
}

func newStory(feed *client.Feed) story { return story{stored: feed.Stored} }

// ends reports whether the event is the flow's last one. A flow that was rejected before it was ever
// valid may have been corrected: then more events are stored.
func (s *story) ends(e contract.Event) bool {
	s.told++
	return e.EndsFlow() || e.Type == contract.TypeFlowRejected && s.told >= s.stored
}

// verdictOf returns the event that ended a flow, reconstructed from its status.
func verdictOf(s contract.FlowStatus) contract.Event {
	e := contract.Event{Type: s.Verdict, Subject: s.Flow, Time: s.Updated}
	jobs := make(map[string]contract.JobSummary, len(s.Jobs))
	for name, j := range s.Jobs {
		jobs[name] = j.JobSummary
	}
	switch s.Verdict {
	case contract.TypeFlowCompleted:
		e.Data = &contract.FlowCompleted{Duration: s.Duration, Edges: s.Edges}
	case contract.TypeFlowPanic:
		d := &contract.FlowPanic{Duration: s.Duration, Jobs: jobs, Edges: s.Edges}
		if len(s.Failures) > 0 {
			d.Cause, d.Others = s.Failures[0], s.Failures[1:]
		}
		e.Data = d
	case contract.TypeFlowCancelled:
		e.Data = &contract.FlowCancelled{
			Duration: s.Duration, By: s.CancelledBy, Source: s.CancelSource, Reason: s.Reason, Jobs: jobs, Edges: s.Edges,
		}
	case contract.TypeFlowRejected:
		e.Data = &contract.FlowRejected{Problems: s.Problems}
	}
	return e
}
