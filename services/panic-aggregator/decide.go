package aggregator

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/service"
)

// Decide returns the stops and verdicts that follow from the event on a state that has folded it.
func Decide(s State, e contract.Event, now time.Time) ([]contract.Event, error) {
	if e.Type == service.Tick || e.Flow() == "" {
		return s.decideAll(now), nil
	}
	return s.decide(e.Subject, jobOf(e), now), nil
}

// jobOf is the job whose end an event tells, "" where it tells of none.
func jobOf(e contract.Event) string {
	if d, ok := e.Data.(*contract.JobDone); ok {
		return d.Job
	}
	return "" // a panic ends the run, and then all are looked at
}

func (s State) decideAll(now time.Time) []contract.Event {
	var out []contract.Event
	for _, flow := range slices.Sorted(s.due(now)) {
		out = append(out, s.decide(flow, "", now)...)
	}
	return out
}

// due yields the flows that are to be stopped or have a verdict coming: few of those that run.
func (s State) due(now time.Time) iter.Seq[string] {
	return func(yield func(string) bool) {
		for flow, r := range s.runs {
			if (r.completed() || r.ends(now)) && !yield(flow) {
				return
			}
		}
	}
}

func (s State) decide(flow, ended string, now time.Time) []contract.Event {
	r := s.runs[flow]
	if r == nil {
		return nil
	}
	effects := append(s.reports(flow, r, ended, now), s.decideRun(flow, r, now)...)
	for i := range effects {
		effects[i].TraceParent = r.trace
	}
	return effects
}

func (s State) decideRun(flow string, r *run, now time.Time) []contract.Event {
	switch {
	case r.completed():
		return []contract.Event{verdict(contract.TypeFlowCompleted, flow, r.completion(now))}
	case !r.ends(now):
		return nil
	case s.over(r, now):
		return append(r.stops(flow, true), r.endVerdict(flow, now))
	default:
		return r.stops(flow, !s.reporting(r, now))
	}
}

// ends reports whether the run has a reason to end other than that all is done.
func (r *run) ends(now time.Time) bool {
	return r.cancel != nil || len(r.failures) > 0 || r.late(now)
}

// over reports whether nothing is to be awaited any more before the verdict on a run that ends.
func (s State) over(r *run, now time.Time) bool {
	return !s.reporting(r, now) && (r.running() == 0 || s.settled(r, now))
}

// stops tells the flow's jobs to stop, once there can be any that hear it; the reporting ones last.
func (r *run) stops(flow string, last bool) []contract.Event {
	if !r.spawned || len(r.jobs) == 0 {
		return nil
	}
	out := []contract.Event{{Type: actStop, Subject: flow, MsgID: "stop." + flow}}
	if last && r.reporters() > 0 {
		out = append(out, contract.Event{Type: actStopLast, Subject: flow, MsgID: "stop-last." + flow})
	}
	return out
}

// completed reports whether every job ended by itself, without failing.
func (r *run) completed() bool {
	if !r.spawned || r.open > 0 || len(r.failures) > 0 {
		return false
	}
	for _, j := range r.jobs {
		if j.State != contract.JobEnded {
			return false
		}
	}
	return true
}

// running counts the jobs whose last words are still to come. One that nobody has claimed has none:
// whoever claims it now finds the stop.
func (r *run) running() int {
	n := 0
	for _, j := range r.jobs {
		if j.State == contract.JobRunning {
			n++
		}
	}
	return n
}

func (r *run) late(now time.Time) bool { return !r.deadline.IsZero() && now.After(r.deadline) }

// settled reports whether the jobs have had their time for last words. The time counts from the
// first tick that saw the run end; for a late flow from its deadline.
func (s State) settled(r *run, now time.Time) bool {
	from := r.ending
	if len(r.failures) == 0 && r.cancel == nil {
		from = r.deadline
	}
	if len(r.failures) > 0 && r.reportersRunning() { // they have been stopped only lately
		from = from.Add(s.limits.Report)
		if r.cancel != nil {
			from = r.cancel.at
		}
	}
	return now.Sub(from) >= s.limits.Settle
}

// endVerdict is the verdict on a run that did not complete. A failure weighs more than a cancel that
// came after it.
func (r *run) endVerdict(flow string, now time.Time) contract.Event {
	switch {
	case len(r.failures) > 0 && !r.cancelledFirst:
		return verdict(contract.TypeFlowPanic, flow, r.panic(r.failures, now))
	case r.cancel != nil:
		return verdict(contract.TypeFlowCancelled, flow, &contract.FlowCancelled{
			Duration: r.duration(now), By: r.cancel.by, Reason: r.cancel.reason,
			Jobs: r.summaries(), Edges: r.counts(),
		})
	default:
		late := contract.JobFailure{Failure: r.lateness()}
		return verdict(contract.TypeFlowPanic, flow, r.panic([]contract.JobFailure{late}, now))
	}
}

func (r *run) lateness() contract.Failure {
	var open []string
	for name, j := range r.sorted() {
		if j.State != contract.JobEnded {
			open = append(open, name+" ("+string(j.State)+")")
		}
	}
	return contract.Failure{
		Kind: contract.KindDeadline,
		Message: fmt.Sprintf("the flow did not end by its deadline, %v after it was submitted; not ended: %s",
			r.deadline.Sub(r.since).Round(time.Millisecond), listed(open)),
	}
}

// listed joins names, and counts those beyond the first ten.
func listed(names []string) string {
	const shown = 10
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}

func (r *run) panic(failures []contract.JobFailure, now time.Time) *contract.FlowPanic {
	return &contract.FlowPanic{
		Duration: r.duration(now), Cause: failures[0], Others: brief(failures[1:], failures[0].Detail),
		Jobs: r.summaries(), Edges: r.counts(),
	}
}

// othersLimit bounds the texts of all further failures of a verdict, in octets: an executor that takes
// a thousand jobs with it gives each the same last words.
const othersLimit = 128 << 10

// brief returns the failures without details that were given already, and within othersLimit.
func brief(failures []contract.JobFailure, given string) []contract.JobFailure {
	out := make([]contract.JobFailure, len(failures))
	left := othersLimit
	for i, f := range failures {
		if f.Detail == given || len(f.Detail) > left {
			f.Detail = ""
		}
		if most := max(left, 100); len(f.Message) > most {
			f.Message = strings.ToValidUTF8(f.Message[:most], "") + "…"
		}
		left = max(0, left-len(f.Detail)-len(f.Message))
		out[i] = f
	}
	return out
}

func (r *run) completion(now time.Time) *contract.FlowCompleted {
	return &contract.FlowCompleted{Duration: r.duration(now), Jobs: len(r.jobs), Edges: r.counts()}
}

func (r *run) duration(now time.Time) document.Duration {
	return document.Duration(max(0, now.Sub(r.since)).Round(time.Microsecond))
}

func (r *run) summaries() map[string]contract.JobSummary {
	out := make(map[string]contract.JobSummary, len(r.jobs))
	for name, j := range r.jobs {
		out[name] = j.JobSummary
	}
	return out
}

// counts puts together what both ends of each edge have reported.
func (r *run) counts() []contract.EdgeCount {
	out := make([]contract.EdgeCount, len(r.edges))
	for i, e := range r.edges {
		c := contract.EdgeCount{From: e.From, To: e.To}
		if j, port := r.jobAt(e.From); j != nil && port == progdef.PanicPort {
			c.Sent = j.reported()
		} else if j != nil {
			c.Sent = j.ports.Outputs[port]
		} else if e.Const != nil {
			c.Sent = *e.Const
		}
		if j, port := r.jobAt(e.To); j != nil {
			c.Received = j.ports.Inputs[port]
			c.ClosedEarly = slices.Contains(j.ports.ClosedEarly, port)
		}
		out[i] = c
	}
	return out
}

// jobAt finds the job and port of an edge's end; nil for the flow's own ends and constants.
func (r *run) jobAt(endpoint string) (*job, string) {
	node, port, _ := strings.Cut(endpoint, ".")
	return r.jobs[node], port
}

func verdict(t contract.Type, flow string, data any) contract.Event {
	return contract.Event{Type: t, Subject: flow, MsgID: contract.VerdictID(flow), Data: data}
}
