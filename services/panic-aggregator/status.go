package aggregator

import (
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// With returns the status after one more event of the flow. The order in which events are added
// does not matter, nor do repeats: replicas may share the work.
func With(s contract.FlowStatus, e contract.Event) contract.FlowStatus {
	s.Flow = e.Subject
	if e.Time.After(s.Updated) {
		s.Updated = e.Time
	}
	switch d := e.Data.(type) {
	case *contract.FlowPlanned:
		for _, j := range d.Jobs {
			setJob(&s, j.Job, contract.JobStatus{
				Progdef: j.Progdef, Revision: j.Revision,
				JobSummary: contract.JobSummary{State: contract.JobWaiting},
			})
		}
		s.Deadline = d.Deadline
		s.Outputs = d.Outputs
	case *contract.FlowQueued:
		s.Queued = d
	case *contract.FlowRejected:
		s.Problems = d.Problems
	case *contract.JobStarted:
		setJob(&s, d.Job, contract.JobStatus{JobSummary: contract.JobSummary{State: contract.JobRunning, Executor: d.Executor}})
	case *contract.JobDone:
		state := contract.JobEnded
		if d.Stopped {
			state = contract.JobStopped
		}
		setJob(&s, d.Job, contract.JobStatus{JobSummary: contract.JobSummary{State: state, Executor: d.Executor}, PortCounts: d.PortCounts})
	case *contract.JobPanic:
		setJob(&s, d.Job, contract.JobStatus{JobSummary: contract.JobSummary{State: contract.JobPanicked, Executor: d.Executor}, PortCounts: d.PortCounts})
	case *contract.FlowCompleted:
		s.Edges, s.Duration = d.Edges, d.Duration
	case *contract.FlowPanic:
		s.Edges, s.Duration = d.Edges, d.Duration
		s.Failures = append([]contract.JobFailure{d.Cause}, d.Others...)
		settle(&s, d.Jobs)
	case *contract.FlowCancelled:
		s.Edges, s.Duration = d.Edges, d.Duration
		s.CancelledBy, s.Reason = d.By, d.Reason
		settle(&s, d.Jobs)
	}
	return advance(s, e)
}

// phases, from first to last; the verdicts are of one rank.
var rank = map[contract.Type]int{
	contract.TypeFlowSubmit: 1, contract.TypeFlowValidated: 2, contract.TypeFlowPlanned: 3,
	contract.TypeFlowQueued: 4, contract.TypeFlowSpawned: 5, contract.TypeJobStarted: 6,
	contract.TypeFlowRejected: 7, contract.TypeFlowCompleted: 7, contract.TypeFlowPanic: 7,
	contract.TypeFlowCancelled: 7, contract.TypeFlowCleaned: 8,
}

func advance(s contract.FlowStatus, e contract.Event) contract.FlowStatus {
	if e.Type == contract.TypeFlowSubmit && (s.Submitted.IsZero() || e.Time.Before(s.Submitted)) {
		s.Submitted = e.Time
	}
	if rank[e.Type] == 7 && s.Verdict == "" {
		s.Verdict = e.Type
	}
	if rank[e.Type] > rank[s.Phase] {
		s.Phase = e.Type
	}
	return s
}

var jobRank = map[contract.JobState]int{
	contract.JobWaiting: 1, contract.JobRunning: 2,
	contract.JobEnded: 3, contract.JobStopped: 3, contract.JobPanicked: 3,
}

// setJob merges what one event says of a job into what is known.
func setJob(s *contract.FlowStatus, name string, n contract.JobStatus) {
	if s.Jobs == nil {
		s.Jobs = make(map[string]contract.JobStatus)
	}
	j := s.Jobs[name]
	if n.Progdef != "" {
		j.Progdef, j.Revision = n.Progdef, n.Revision
	}
	if n.Executor != "" {
		j.Executor = n.Executor
	}
	if jobRank[n.State] > jobRank[j.State] {
		j.State, j.PortCounts = n.State, n.PortCounts
	}
	s.Jobs[name] = j
}

// settle gives the jobs that never spoke again the state that the verdict found them in.
func settle(s *contract.FlowStatus, jobs map[string]contract.JobSummary) {
	for name, j := range jobs {
		setJob(s, name, contract.JobStatus{JobSummary: j})
	}
}

// statusDelay is how long events are gathered before they are written, so that a short flow costs
// one write.
const statusDelay = 100 * time.Millisecond
