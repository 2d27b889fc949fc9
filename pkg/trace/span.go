package trace

import (
	"strconv"
	"time"
)

// What the spans of a flow are about; their ids are derived from it.
const (
	spanFlow = "flow"
	spanJob  = "job "
)

// A Phase is a part of a flow's life, and the name of its span.
type Phase string

// The phases of a flow.
const (
	PhaseValidate Phase = "validate" // flow.submit to flow.validated or flow.rejected
	PhasePlan     Phase = "plan"     // flow.validated to flow.planned
	PhaseQueue    Phase = "queue"    // flow.planned to flow.spawned
	PhaseSpawn    Phase = "spawn"    // flow.spawned until the last job is started
)

// Attributes of spans. docs/traces.md describes them.
const (
	AttributeFlow     = "dagyo.flow.id"
	AttributeTenant   = "dagyo.tenant"
	AttributeVerdict  = "dagyo.flow.verdict"
	AttributeNode     = "dagyo.node"
	AttributeProgdef  = "dagyo.progdef"
	AttributeRevision = "dagyo.revision"
	AttributeExecutor = "dagyo.executor"
	AttributeState    = "dagyo.job.state"
	AttributeKind     = "dagyo.panic.kind"
	AttributeCode     = "dagyo.problem.code"
)

// A Span is what happened between two times. All texts in it are bounded: names, codes and kinds.
type Span struct {
	// Context has the ids of the trace and the span. Parent is the id of the parent span, "" if it has none; Remote is true
	// if the parent is not one of the flow's spans.
	Context
	Parent string
	Remote bool
	Name   string
	Start  time.Time
	End    time.Time
	// Attributes are pairs of a name and a value. Those without a value are left out.
	Attributes [][2]string
	// Error is "" unless what happened failed.
	Error string
}

// A Flow makes the spans of a flow.
type Flow struct {
	of   Context // of its submission
	id   string
	mark string // of the ids of its spans
}

// Of returns what makes the spans of a flow, given the context of its submission.
func Of(c Context, flow string) Flow { return Flow{of: c, id: flow} }

// OfRejected does the same for a submission that never became a flow. It has spans of its own, since another submission may
// have the same id: seq is its place in EVENTS.
func OfRejected(c Context, flow string, seq uint64) Flow {
	return Flow{of: c, id: flow, mark: " rejected " + strconv.FormatUint(seq, 10)}
}

// Root returns the span of the flow. It has no parent if the trace was begun with it.
func (f Flow) Root(start, end time.Time) Span {
	s := f.span(spanFlow, start, end)
	if s.Name = spanFlow; f.of.SpanID() != f.of.child(f.id, spanFlow).SpanID() {
		s.Parent, s.Remote = f.of.SpanID(), true
	}
	return s
}

// Phase returns the span of a phase.
func (f Flow) Phase(p Phase, start, end time.Time) Span {
	s := f.span(string(p), start, end)
	s.Name, s.Parent = string(p), f.context(spanFlow).SpanID()
	return s
}

// Job returns the span of a job.
func (f Flow) Job(job, progdef string, start, end time.Time) Span {
	s := f.span(spanJob+job, start, end)
	s.Name, s.Parent = spanJob+progdef, f.context(spanFlow).SpanID()
	return s
}

// span returns a span of the flow. Events of different servers' clocks may not be in order: it never ends before it starts.
func (f Flow) span(what string, start, end time.Time) Span {
	if end.Before(start) {
		end = start
	}
	return Span{Context: f.context(what), Start: start, End: end}
}

func (f Flow) context(what string) Context { return f.of.child(f.id, what+f.mark) }
