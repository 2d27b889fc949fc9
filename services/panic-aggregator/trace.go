package aggregator

import (
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/trace"
)

// spans returns all spans of a flow that ends with an event, and none for other events. The state is that before the event:
// a live flow is in it, and each flow has one verdict.
func spans(s *State, e contract.Event) []trace.Span {
	r := s.runs[e.Subject]
	switch _, rejected := e.Data.(*contract.FlowRejected); {
	case r != nil && e.EndsFlow():
		return s.spansOf(r, e)
	case r == nil && rejected && !e.EndsFlow():
		return s.spansOfRejected(e)
	}
	return nil
}

// spansOf returns the spans of a live flow that ends.
func (s *State) spansOf(r *run, e contract.Event) []trace.Span {
	if !r.Trace.Sampled() {
		return nil
	}
	of, submitted := trace.Of(r.Trace, r.flow), r.Since
	if x := s.shown[r.flow]; x != nil {
		submitted = x.Submitted
	}
	root := ended(of.Root(submitted, e.Time), e)
	spans := append([]trace.Span{root, of.Phase(trace.PhaseValidate, submitted, r.Since)}, r.phases(of, e.Time)...)
	if e.Type == contract.TypeFlowRejected {
		spans[len(spans)-1].Error = root.Error // in its last phase
	}
	for _, j := range r.sorted() {
		if began := j.began(); !began.IsZero() {
			spans = append(spans, j.span(of, began, e.Time))
		}
	}
	return about(r.flow, spans)
}

// spansOfRejected returns the spans of a submission that the validator has rejected.
func (s *State) spansOfRejected(e contract.Event) []trace.Span {
	if !e.Trace.Sampled() {
		return nil
	}
	submitted := e.Time
	if b := s.submitted.of[e.Subject]; b.Seq == e.Cause && b.Seq > 0 {
		submitted = b.At
	}
	of := trace.OfRejected(e.Trace, e.Subject, e.Cause)
	root, validate := ended(of.Root(submitted, e.Time), e), of.Phase(trace.PhaseValidate, submitted, e.Time)
	validate.Error = root.Error
	return about(e.Subject, []trace.Span{root, validate})
}

// phases returns the spans of the phases after the validation that a run has reached. The last one ends with the run if it
// does not end before.
func (r *run) phases(of trace.Flow, end time.Time) (spans []trace.Span) {
	if r.Planned && r.PlannedAt.IsZero() {
		return nil // planned under an earlier version
	}
	begin, until := r.Since, sooner(r.PlannedAt, end)
	spans = append(spans, of.Phase(trace.PhasePlan, begin, until))
	if r.Planned {
		spans = append(spans, of.Phase(trace.PhaseQueue, r.PlannedAt, sooner(r.Waiting, end)))
	}
	if r.Spawned {
		spans = append(spans, of.Phase(trace.PhaseSpawn, r.Waiting, r.allBegan(end)))
	}
	return spans
}

// allBegan returns when the last job was started, or the end of the run if one was not.
func (r *run) allBegan(end time.Time) (last time.Time) {
	for _, j := range r.Jobs {
		if j.Began.IsZero() {
			return end
		}
		last = later(last, j.Began)
	}
	return last
}

// began returns when the span of a job begins. That of one which has failed without being started, for its executors cannot
// run, begins when it could have been. It is zero for other jobs that were not started: they have no span.
func (j *job) began() time.Time {
	if j.Began.IsZero() && j.Failure != nil {
		return j.run.Waiting
	}
	return j.Began
}

// span returns the span of a job. One that has not reported its end ends with its flow.
func (j *job) span(of trace.Flow, began, end time.Time) trace.Span {
	x := of.Job(j.name, j.Progdef, began, sooner(j.Over, end))
	x.Attributes = [][2]string{
		{trace.AttributeNode, j.name}, {trace.AttributeProgdef, j.Progdef}, {trace.AttributeRevision, j.Revision},
		{trace.AttributeExecutor, j.Executor}, {trace.AttributeState, string(j.State)},
	}
	if j.Failure != nil {
		failed(&x, j.Failure.Kind)
	}
	return x
}

// ended returns the span of a flow with how the flow has ended. It has no free texts, which may repeat records.
func ended(x trace.Span, e contract.Event) trace.Span {
	x.Attributes = [][2]string{{trace.AttributeVerdict, strings.TrimPrefix(string(e.Type), "flow.")}}
	switch d := e.Data.(type) {
	case *contract.FlowPanic:
		failed(&x, d.Cause.Kind)
		x.Attributes = append(x.Attributes, [2]string{trace.AttributeNode, d.Cause.Job})
	case *contract.FlowRejected:
		code := codeOf(d.Problems)
		x.Error = "rejected: " + code
		x.Attributes = append(x.Attributes, [2]string{trace.AttributeCode, code})
	}
	return x
}

func failed(x *trace.Span, k contract.Kind) {
	kind := kindOf(k)
	x.Error = "panic: " + kind
	x.Attributes = append(x.Attributes, [2]string{trace.AttributeKind, kind})
}

// about adds the id of their flow to spans.
func about(flow string, spans []trace.Span) []trace.Span {
	for i := range spans {
		spans[i].Attributes = append(spans[i].Attributes, [2]string{trace.AttributeFlow, flow})
	}
	return spans
}
