package planner

import (
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
)

// State is every flow that has something on the broker, or is about to.
type State struct {
	limits Limits
	runs   map[string]*run
	flows  int // planned and not cleaned
	edges  int // of these
	// executors are the live ones, and their mailboxes.
	executors map[string]string
}

// A run is one flow from flow.validated to flow.cleaned.
type run struct {
	trace     string // its W3C trace context
	edges     int
	planned   bool
	mailboxes []string
	outputs   bool
	// ended is when the verdict was given, zero before; ok is true when all its jobs were claimed.
	ended time.Time
	ok    bool
	// released is true once a client has said that it has read all it wants.
	released  bool
	retention time.Duration
	stream    string
}

// Limits bound what flows may ask of the broker.
type Limits struct {
	// Flows and Edges bound what exists at the same time, over all flows.
	Flows int
	Edges int
	// Window and Frames bound each edge: octets and frames sent and not yet consumed.
	Window int64
	Frames int64
	// OutputRetention is how long a flow's outputs stay readable after its verdict.
	OutputRetention time.Duration
}

// DefaultLimits are the documented defaults.
func DefaultLimits() Limits {
	return Limits{
		Flows: 20_000, Edges: 200_000, Window: 8 << 20, Frames: 4096,
		OutputRetention: 5 * time.Minute,
	}
}

// NewState returns the state before the first event.
func NewState(l Limits) State {
	return State{limits: l, runs: make(map[string]*run), executors: make(map[string]string)}
}

// FactReleased says that a client has read all it wants of a flow's outputs.
const FactReleased contract.Type = "fact.released"

// Evolve returns the state after an event or fact. It changes s in place.
func Evolve(s State, e contract.Event) State {
	if e.EndsFlow() {
		s.ended(e)
		return s
	}
	switch d := e.Data.(type) {
	case *contract.FlowValidated:
		if s.runs[e.Subject] == nil {
			s.runs[e.Subject] = &run{trace: e.TraceParent, edges: len(d.Flow.Edges)}
		}
	case *contract.FlowPlanned:
		s.planned(e.Subject, d)
	case *contract.FlowCleaned:
		s.cleaned(e.Subject)
	case *contract.ExecutorStarted:
		s.executors[d.Executor] = contract.Mailbox(d.Progdef, d.Revision)
	case *contract.ExecutorExited:
		delete(s.executors, d.Executor)
	}
	if e.Type == FactReleased {
		if r := s.runs[e.Subject]; r != nil {
			r.released = true
		}
	}
	return s
}

func (s *State) planned(flow string, d *contract.FlowPlanned) {
	r := s.runs[flow]
	if r == nil {
		return
	}
	if !r.planned {
		s.flows++
		s.edges += r.edges
	}
	r.planned, r.outputs, r.stream = true, len(d.Outputs) > 0, d.Stream
	r.retention = d.OutputRetention.D()
	for name, p := range d.Progdefs {
		r.mailboxes = append(r.mailboxes, contract.Mailbox(name, p.Revision))
	}
}

func (s *State) ended(e contract.Event) {
	if r := s.runs[e.Subject]; r != nil && r.ended.IsZero() {
		r.ended, r.ok = e.Time, e.Type == contract.TypeFlowCompleted
		if e.Type == contract.TypeFlowRejected {
			r.outputs = false
		}
	}
}

func (s *State) cleaned(flow string) {
	r := s.runs[flow]
	if r == nil {
		return
	}
	if r.planned {
		s.flows--
		s.edges -= r.edges
	}
	delete(s.runs, flow)
}

// retained reports until when the run's outputs must stay.
func (r *run) retained(now time.Time) bool {
	return r.outputs && !r.released && now.Sub(r.ended) < r.retention
}

func retentionOf(l Limits) document.Duration { return document.Duration(l.OutputRetention) }
