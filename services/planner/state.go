package planner

import (
	"maps"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/trace"
)

// State is every flow that has something on the broker, or is about to.
type State struct {
	limits Limits
	runs   map[string]*run
	flows  int // planned and not cleaned
	edges  int // of these
	// executors are the live executors, with their mailboxes.
	executors map[string]string
	// made are the mailboxes that were created since the last start of an executor. They are unknown to a new leader.
	made map[string]bool
	// shards are where the edges of new flows are stored, in order. Without shards, no flow is planned.
	shards []string
}

// A run is one flow from flow.validated to flow.cleaned.
type run struct {
	Trace trace.Context `json:"trace,omitzero"`  // its W3C trace context
	Owner string        `json:"owner,omitempty"` // the user who submitted it, "" if that is not proven
	At    time.Time     `json:"at"`              // when it was validated
	// Validated is the flow to plan; it is dropped once planned.
	Validated *contract.FlowValidated `json:"validated,omitempty"`
	Edges     int                     `json:"edges"`
	Planned   bool                    `json:"planned"`
	Mailboxes []string                `json:"mailboxes"`
	Outputs   bool                    `json:"outputs"`
	// Ended is the time of the verdict, or zero before; OK is true if all jobs were claimed.
	Ended     time.Time     `json:"ended,omitzero"`
	OK        bool          `json:"ok"`
	Retention time.Duration `json:"retention"`
	Stream    string        `json:"stream"`
	// Ends are the addresses of the outputs, Inputs those of the flow's own inputs, if they are sealed.
	Ends   []contract.Address `json:"ends,omitempty"`
	Inputs []contract.Address `json:"inputs,omitempty"`
	// released is true once a client has requested the clean-up and all outputs are read, stopped once the jobs of a
	// failed flow were stopped. read holds the client's counts.
	released, stopped bool
	read              map[string]contract.OutputCount
}

// Limits limit what flows use on the broker.
type Limits struct {
	// Flows and Edges limit the live flows and all of their edges.
	Flows int
	Edges int
	// Window and Frames limit each edge: the bytes and frames that are sent and not yet consumed. The broker stores at
	// most Frames frames of an edge, each of at most 128 KiB.
	Window int64
	Frames int64
	// OutputRetention is how long a flow's outputs stay readable after its verdict.
	OutputRetention time.Duration
	// LogRate is how many lines a job may log in a second; 0 keeps none.
	LogRate int
	// Seal is true if the edges of new flows are sealed (ADR 27).
	Seal bool
}

// DefaultLimits returns the documented defaults.
func DefaultLimits() Limits {
	return Limits{
		Flows: 20_000, Edges: 200_000, Window: 8 << 20, Frames: 128,
		OutputRetention: 5 * time.Minute, LogRate: 1000,
	}
}

// NewState returns the state before the first event.
func NewState(l Limits, shards ...string) *State {
	return &State{limits: l, shards: shards, runs: make(map[string]*run), executors: make(map[string]string), made: make(map[string]bool)}
}

// Has reports whether a flow has something on the broker, or is about to.
func (s *State) Has(flow string) bool { return s.runs[flow] != nil }

// FactReleased reports that an ended flow was released, and that its outputs are read.
const FactReleased contract.Type = "fact.released"

// FactShards lists the current shards; With has their names.
const FactShards contract.Type = "fact.shards"

// Evolve folds an event or fact.
func Evolve(s *State, e contract.Event) []string {
	if e.EndsFlow() {
		s.ended(e)
		return []string{e.Subject}
	}
	if e.Type == FactShards {
		s.shards = e.With.([]string)
		return s.unplanned()
	}
	switch d := e.Data.(type) {
	case *contract.FlowValidated:
		s.begin(e, d)
	case *contract.FlowPlanned:
		s.planned(e.Subject, d)
	case *contract.FlowCleaned:
		s.cleaned(e.Subject)
	case *contract.ExecutorStarted:
		mailbox := contract.Mailbox(d.Progdef, d.Revision)
		s.executors[d.Executor] = mailbox
		delete(s.made, mailbox) // a sweep may have removed it
		return []string{mailbox}
	case *contract.ExecutorExited:
		delete(s.made, s.executors[d.Executor])
		delete(s.executors, d.Executor)
		return nil
	}
	if e.Type == actMailbox {
		s.made[e.Subject] = true
		return nil
	}
	if r := s.runs[e.Subject]; r != nil {
		if e.Type == FactReleased {
			r.release(e.With)
		}
		r.stopped = r.stopped || e.Type == actStop
	}
	return []string{e.Subject}
}

// unplanned returns the flows that are waiting to be planned.
func (s *State) unplanned() (ids []string) {
	for id, r := range s.runs {
		if !r.Planned && r.Validated != nil {
			ids = append(ids, id)
		}
	}
	return ids
}

func (s *State) begin(e contract.Event, d *contract.FlowValidated) {
	if s.runs[e.Subject] != nil {
		return
	}
	r := &run{Trace: e.Trace, Owner: d.Owner, At: e.Time, Edges: len(d.Flow.Edges), Validated: d}
	for name, p := range d.Progdefs {
		r.Mailboxes = append(r.Mailboxes, contract.Mailbox(name, p.Revision))
	}
	s.runs[e.Subject] = r
}

func (s *State) planned(flow string, d *contract.FlowPlanned) {
	r := s.runs[flow]
	if r == nil || r.Planned {
		return
	}
	s.flows++
	s.edges += r.Edges
	r.Planned, r.Outputs, r.Stream, r.Validated = true, len(d.Outputs) > 0, d.Stream, nil
	r.Retention = d.OutputRetention.D()
	for _, name := range slices.Sorted(maps.Keys(d.Outputs)) {
		r.Ends = append(r.Ends, d.Outputs[name])
	}
	for _, name := range slices.Sorted(maps.Keys(d.Inputs)) {
		if a := d.Inputs[name]; a.Salt != "" {
			r.Inputs = append(r.Inputs, a)
		}
	}
}

// release records that a client has read the outputs, and the counts that it reports.
func (r *run) release(with any) {
	r.released = true
	if d, ok := with.(contract.Release); ok && r.Outputs && len(r.read) == 0 {
		r.read = d.Read
	}
}

func (s *State) ended(e contract.Event) {
	if r := s.runs[e.Subject]; r != nil && r.Ended.IsZero() {
		r.Ended, r.OK, r.Validated = e.Time, e.Type == contract.TypeFlowCompleted, nil
		if e.Type == contract.TypeFlowRejected {
			r.Outputs = false
		}
	}
}

func (s *State) cleaned(flow string) {
	r := s.runs[flow]
	if r == nil {
		return
	}
	if r.Planned {
		s.flows--
		s.edges -= r.Edges
	}
	delete(s.runs, flow)
}

// retained reports whether the run's outputs must be kept.
func (r *run) retained(now time.Time) bool {
	return r.Outputs && !r.released && now.Before(r.Ended.Add(r.Retention))
}

func retentionOf(l Limits) document.Duration { return document.Duration(l.OutputRetention) }
