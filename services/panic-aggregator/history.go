package aggregator

import (
	"slices"

	"github.com/dagyo/dagyo/pkg/contract"
)

const (
	// storeCount is the number of ended flows that are stored at once, storeBytes their approximate size.
	storeCount = 256
	storeBytes = 1 << 20
	// statusBytes is the estimated size of a status by its jobs and edges, for storeBytes.
	statusBytes = 200
)

// past holds the ended flows that are not known to be in history.
type past struct {
	Ended []record
	last  map[string]int // the last record of each flow
	bytes int
	// Upto is the last event that history is known to include, sent the last one that was sent to it.
	Upto uint64
	sent uint64
}

// A record is an ended flow, with its last event.
type record struct {
	Seq    uint64              `json:"seq"`
	Status contract.FlowStatus `json:"status"`
}

// A batch is the flows that are stored at once.
type batch struct {
	statuses []contract.FlowStatus
	upto     uint64
}

func (p *past) add(seq uint64, s contract.FlowStatus) {
	if seq <= p.Upto {
		return // it is in history
	}
	p.last[s.Flow], p.Ended = len(p.Ended), append(p.Ended, record{seq, s})
	p.bytes += statusBytes * (1 + len(s.Jobs) + len(s.Edges) + len(s.Failures))
}

// find returns the last status of an ended flow.
func (p *past) find(flow string) (contract.FlowStatus, bool) {
	i, ok := p.last[flow]
	if !ok {
		return contract.FlowStatus{}, false
	}
	return p.Ended[i].Status, true
}

// stored removes the flows that are in history.
func (p *past) stored(upto uint64) {
	p.Upto = max(p.Upto, upto)
	kept := p.Ended
	p.Ended, p.last, p.bytes = nil, make(map[string]int), 0
	for _, r := range kept {
		p.add(r.Seq, r.Status) // unless it is in history
	}
}

// decide returns the effect that stores the collected flows.
func (p *past) decide() []contract.Event {
	if len(p.Ended) < storeCount && p.bytes < storeBytes {
		return nil
	}
	ended := p.Ended[:min(len(p.Ended), storeCount)]
	b := batch{upto: ended[len(ended)-1].Seq}
	if b.upto <= p.sent {
		return nil // it is being stored
	}
	for _, r := range ended {
		b.statuses = append(b.statuses, r.Status)
	}
	return []contract.Event{{Type: actStore, Subject: "history", With: b}}
}

// show folds an event into the status of a flow.
func (s *State) show(e contract.Event) {
	status := s.shown[e.Subject]
	switch {
	case e.Type == contract.TypeFlowCancel:
		return
	case e.Type == contract.TypeFlowSubmit:
		// One that repeats a flow is not shown beside it. A rejected document may be corrected and submitted again.
		if ended, _ := s.past.find(e.Subject); status == nil && ended.Phase != contract.TypeFlowCleaned {
			s.submitted.add(e.Subject, submission{Seq: e.Seq, At: e.Time, By: e.By})
		}
		return
	case status == nil && e.Type != contract.TypeFlowValidated && e.Type != contract.TypeFlowRejected:
		return // the flow is unknown, or no longer known
	case status == nil:
		status = &shown{FlowStatus: contract.FlowStatus{Submitted: e.Time}}
		if b, waited := s.submitted.answered(e.Subject); waited {
			status.Submitted = b.At
			if e.Cause == 0 || e.Cause == b.Seq {
				status.Owner = b.By
			}
		}
		s.shown[e.Subject] = status
	}
	r := s.runs[e.Subject]
	if d, ok := e.Data.(*contract.JobStarted); ok && r != nil {
		if j := r.Jobs[d.Job]; j == nil || !e.From(j.Progdef, j.Revision) {
			return // it starts nothing
		}
	}
	if r != nil && e.EndsFlow() {
		status.Jobs, r = r.statuses(make(map[string]contract.JobStatus)), nil
	}
	status.set(With(status.FlowStatus, e), r)
	refused := e.Type == contract.TypeFlowRejected && status.Phase == e.Type && !e.EndsFlow()
	if refused || e.Type == contract.TypeFlowCleaned {
		delete(s.shown, e.Subject)
		s.past.add(e.Seq, status.full(nil))
	}
}

// current yields the flows that are not in history, those that are not cleaned up without their inputs and outputs. The
// jobs of one are valid until the next.
func (s *State) current(yield func(contract.FlowStatus) bool) {
	jobs := make(map[string]contract.JobStatus)
	for flow, status := range s.shown {
		clear(jobs)
		if !yield(status.brief(s.runs[flow], jobs)) {
			return
		}
	}
	for _, r := range slices.Backward(s.past.Ended) {
		if !yield(r.Status) {
			return
		}
	}
	for flow, b := range s.submitted.of {
		if !yield(b.status(flow)) {
			return
		}
	}
}

// status finds a flow that is not in history.
func (s *State) status(flow string) (contract.FlowStatus, bool) {
	if status := s.shown[flow]; status != nil {
		return status.full(s.runs[flow]), true
	}
	return s.past.find(flow)
}
