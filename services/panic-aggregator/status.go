package aggregator

import (
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A shown is the status of a flow that is not cleaned up, in as little memory as possible: a small map takes that of
// eight entries.
type shown struct {
	// FlowStatus is without jobs while the flow is live, since its run has them, and without inputs and outputs.
	contract.FlowStatus
	inputs, outputs []end
}

// An end is an input or output of a flow.
type end struct {
	name string
	contract.Address
}

// set sets the status of a flow. r is its run, nil if it has ended.
func (x *shown) set(s contract.FlowStatus, r *run) {
	if s.Inputs != nil || s.Outputs != nil {
		x.inputs, x.outputs = packed(s.Inputs), packed(s.Outputs)
	}
	if s.Inputs, s.Outputs = nil, nil; r != nil {
		s.Jobs = nil
	}
	x.FlowStatus = s
}

// full returns the status. r is the flow's run, nil if it has ended.
func (x *shown) full(r *run) contract.FlowStatus {
	s := x.brief(r, make(map[string]contract.JobStatus))
	s.Inputs, s.Outputs = unpacked(x.inputs), unpacked(x.outputs)
	return s
}

// brief returns the status without inputs and outputs. The jobs of a run are put into a map.
func (x *shown) brief(r *run, jobs map[string]contract.JobStatus) contract.FlowStatus {
	s := x.FlowStatus
	if r != nil {
		s.Jobs = r.statuses(jobs)
	}
	return s
}

// executorOf returns the executor that has started a job of a flow that is not cleaned up, "" if none has.
func (s *State) executorOf(flow, job string) string {
	if r := s.runs[flow]; r != nil {
		if j := r.Jobs[job]; j != nil {
			return j.Executor
		}
	} else if x := s.shown[flow]; x != nil {
		return x.Jobs[job].Executor
	}
	return ""
}

// statuses puts the jobs of a run into a map.
func (r *run) statuses(into map[string]contract.JobStatus) map[string]contract.JobStatus {
	for name, j := range r.Jobs {
		into[name] = contract.JobStatus{
			Progdef: j.Progdef, Revision: j.Revision, JobSummary: j.JobSummary, PortCounts: j.Ports,
		}
	}
	return into
}

func packed(ends map[string]contract.Address) []end {
	out := make([]end, 0, len(ends))
	for name, a := range ends {
		out = append(out, end{name, a})
	}
	return out
}

func unpacked(ends []end) map[string]contract.Address {
	if len(ends) == 0 {
		return nil
	}
	out := make(map[string]contract.Address, len(ends))
	for _, e := range ends {
		out[e.name] = e.Address
	}
	return out
}

// With returns the status after one more event of the flow. It is idempotent.
func With(s contract.FlowStatus, e contract.Event) contract.FlowStatus {
	s.Flow = e.Subject
	if e.Time.After(s.Updated) {
		s.Updated = e.Time
	}
	switch d := e.Data.(type) {
	case *contract.FlowValidated:
		s.Document, s.Owner = d.Document, d.Owner
	case *contract.FlowPlanned:
		for _, j := range d.Jobs {
			setJob(&s, j.Job, contract.JobStatus{
				Progdef: j.Progdef, Revision: j.Revision,
				JobSummary: contract.JobSummary{State: contract.JobWaiting},
			})
		}
		s.Deadline = d.Deadline
		s.Stream, s.Inputs, s.Outputs = d.Stream, d.Inputs, d.Outputs
		s.Edges = make([]contract.EdgeCount, len(d.Edges))
		for i, e := range d.Edges {
			s.Edges[i] = contract.EdgeCount{From: e.From, To: e.To, Sent: e.Const}
		}
	case *contract.FlowQueued:
		s.Queued = d
	case *contract.FlowRejected:
		if e.EndsFlow() || rank(s.Phase) < rank(contract.TypeFlowValidated) {
			s.Verdict, s.Problems, s.Edges = e.Type, d.Problems, nil
		}
	case *contract.FlowStalled:
		if s.Stalled = nil; d.Stalled && s.Verdict == "" {
			s.Stalled = d
		}
	case *contract.JobStarted:
		j := s.Jobs[d.Job]
		switch {
		case j.Executor != "" && j.Executor != d.Executor: // it was started before
			return s
		case j.Progdef != "" && !e.From(j.Progdef, j.Revision): // it is not the executor's
			return s
		}
		setJob(&s, d.Job, contract.JobStatus{JobSummary: contract.JobSummary{State: contract.JobRunning, Executor: d.Executor}})
	case *contract.JobDone:
		if s.Jobs[d.Job].Executor != d.Executor {
			break // it has not started the job
		}
		state := contract.JobEnded
		if d.Stopped {
			state = contract.JobStopped
		}
		setJob(&s, d.Job, contract.JobStatus{JobSummary: contract.JobSummary{State: state, Executor: d.Executor}, PortCounts: d.PortCounts})
	case *contract.JobPanic:
		if s.Jobs[d.Job].Executor != d.Executor {
			break
		}
		setJob(&s, d.Job, contract.JobStatus{JobSummary: contract.JobSummary{State: contract.JobPanicked, Executor: d.Executor}, PortCounts: d.PortCounts})
	case *contract.FlowCompleted:
		s.Edges, s.Duration = d.Edges, d.Duration
	case *contract.FlowPanic:
		s.Edges, s.Duration = d.Edges, d.Duration
		s.Failures = append([]contract.JobFailure{d.Cause}, d.Others...)
		settle(&s, d.Jobs)
	case *contract.FlowCancelled:
		s.Edges, s.Duration = d.Edges, d.Duration
		s.CancelledBy, s.CancelSource, s.Reason = d.By, d.Source, d.Reason
		settle(&s, d.Jobs)
	case *contract.FlowCleaned:
		s.Edges = withRead(s.Edges, d.Read)
	}
	return advance(s, e)
}

// rank orders the phases of a flow from first to last. A rejection by the validator is early: the flow
// may be corrected and submitted again.
func rank(t contract.Type) int {
	return slices.Index([]contract.Type{
		"", contract.TypeFlowSubmit, contract.TypeFlowRejected, contract.TypeFlowValidated,
		contract.TypeFlowPlanned, contract.TypeFlowQueued, contract.TypeFlowSpawned, contract.TypeJobStarted,
		contract.TypeFlowCompleted, contract.TypeFlowPanic, contract.TypeFlowCancelled, contract.TypeFlowCleaned,
	}, t)
}

func advance(s contract.FlowStatus, e contract.Event) contract.FlowStatus {
	switch {
	case contract.IsVerdict(e.Type):
		s.Verdict, s.Problems, s.Stalled = e.Type, nil, nil // problems of an earlier submission
	case e.Type == contract.TypeFlowValidated && rank(s.Phase) < rank(e.Type):
		s.Verdict, s.Problems = "", nil
	}
	if rank(e.Type) > rank(s.Phase) || e.EndsFlow() && rank(s.Phase) < rank(contract.TypeFlowCompleted) {
		s.Phase = e.Type
	}
	return s
}

func jobRank(s contract.JobState) int {
	switch s {
	case "":
		return 0
	case contract.JobWaiting:
		return 1
	case contract.JobRunning:
		return 2
	default:
		return 3
	}
}

// setJob merges the content of one event about a job into its status.
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
	if jobRank(n.State) > jobRank(j.State) {
		j.State, j.PortCounts = n.State, n.PortCounts
	}
	s.Jobs[name] = j
}

// withRead returns the edges with the counts of the outputs that a client read.
func withRead(edges []contract.EdgeCount, read map[string]contract.OutputCount) []contract.EdgeCount {
	if len(read) == 0 {
		return edges
	}
	edges = slices.Clone(edges) // the slice belongs to the verdict
	for i := range edges {
		if name, ok := strings.CutPrefix(edges[i].To, outputPrefix); ok {
			sent := edges[i].Sent
			if n, known := read[name]; known && (sent == nil || n.Records <= sent.Records) {
				edges[i].Received, edges[i].ClosedEarly = &n.Count, n.ClosedEarly
			}
		}
	}
	return edges
}

// settle sets jobs without a last event to their state in the verdict.
func settle(s *contract.FlowStatus, jobs map[string]contract.JobSummary) {
	for name, j := range jobs {
		setJob(s, name, contract.JobStatus{JobSummary: j})
	}
}
