package aggregator

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// Keys besides flows. They contain a space, which is not valid in a flow id.
const (
	keyHistory      = " history"
	keyUnanswerable = " unanswerable"
)

// Decide returns the stops and verdicts that a flow's state requires.
func Decide(s *State, key string, now time.Time) (effects []contract.Event, next time.Time) {
	switch key {
	case keyHistory:
		return s.past.decide(), next
	case keyUnanswerable:
		return s.refuse(now)
	case keyHooks:
		return s.hooks.decide(now), next
	}
	r := s.runs[key]
	if r == nil {
		return nil, next
	}
	effects, next = s.decideRun(key, r, now)
	for i := range effects {
		effects[i].Trace = r.Trace
	}
	return effects, next
}

// Open returns the keys of everything that has not ended.
func Open(s *State) []string {
	return append(slices.Sorted(maps.Keys(s.runs)), keyHistory, keyUnanswerable, keyHooks)
}

func (s *State) decideRun(flow string, r *run, now time.Time) (effects []contract.Event, next time.Time) {
	switch {
	case r.completed():
		effects = append(r.reports(flow, true), verdict(contract.TypeFlowCompleted, flow, r.completion(now)))
		return effects, next
	case !r.ends(now):
		stalls, next := s.stalls(flow, r, now)
		effects = append(r.reports(flow, false), stalls...)
		if !r.suspect {
			return effects, sooner(next, r.Deadline)
		}
		return append(effects, s.judgeSilence(flow, r, now)...), sooner(next, s.nextDeath(r, now))
	}
	waits := s.waits(r, now)
	last := waits.IsZero()
	effects = append(r.reports(flow, last), r.stops(flow, !s.reporting(r, now))...)
	if last {
		effects = append(effects, s.endVerdict(flow, r, now))
	}
	return effects, waits
}

// answersAtOnce bounds the dead letters of one decision. Those that follow are decided when these are stored.
const answersAtOnce = 16

// refuse answers unanswerable messages with dead letters.
func (s *State) refuse(now time.Time) (effects []contract.Event, next time.Time) {
	left, bytes := len(s.cancels.of), s.cancels.bytes
	for seq, c := range s.cancels.all() {
		until := c.At.Add(s.limits.CancelMemory)
		if until.After(now) && left <= s.limits.Cancels && bytes <= cancelBytes {
			next = until
			break
		}
		bytes -= c.bytes()
		if left--; len(effects) == answersAtOnce {
			return effects, next
		}
		effects = append(effects, deadLetter(seq, unanswerable{
			Subject: string(contract.TypeFlowCancel),
			Why:     fmt.Sprintf("live flow %q not found: nothing to cancel", c.Flow),
		}))
	}
	for seq, u := range s.unanswerable.all() {
		if len(effects) >= answersAtOnce {
			break
		}
		effects = append(effects, deadLetter(seq, u))
	}
	return effects, next
}

func deadLetter(seq uint64, u unanswerable) contract.Event {
	return contract.NewDeadLetter(u.Subject, seq, problem.List{{
		Code: cmp.Or(u.Code, problem.NotAnswerable), Message: u.Why,
	}})
}

// ends reports whether the run must end for a reason other than completion.
func (r *run) ends(now time.Time) bool {
	return r.Cancel != nil || len(r.Failures) > 0 || r.late(now)
}

// waits returns the latest time until which the verdict of an ending run must wait; the zero time if it need not wait.
func (s *State) waits(r *run, now time.Time) time.Time {
	if s.reporting(r, now) {
		return r.Ending.Add(s.limits.Report)
	}
	if settled := s.settled(r, now); r.running() > 0 && now.Before(settled) {
		return settled
	}
	return time.Time{}
}

// stops stops the flow's jobs, once there can be any; reporting jobs are stopped last.
func (r *run) stops(flow string, last bool) (out []contract.Event) {
	if !r.Spawned || len(r.Jobs) == 0 {
		return nil
	}
	stop, lastStop := r.stopSubjects(flow)
	if r.stopped.IsZero() {
		out = append(out, contract.Event{Type: actStop, Subject: flow, With: stop})
	}
	if last && r.stoppedLast.IsZero() && r.reporters() > 0 {
		out = append(out, contract.Event{Type: actStopLast, Subject: flow, With: lastStop})
	}
	return out
}

// stopSubjects returns the stop subjects of the flow's jobs, that of the reporting jobs last.
func (r *run) stopSubjects(flow string) (stop, last string) {
	stream := r.Stream
	if stream == "" {
		stream = contract.OldFlowStream(flow)
	}
	subjects := contract.StopSubjects(stream, flow)
	return subjects[0], subjects[1]
}

// completed reports whether every job ended by itself, without failing.
func (r *run) completed() bool {
	if !r.Spawned || r.Open > 0 || len(r.Failures) > 0 {
		return false
	}
	for _, j := range r.Jobs {
		if j.State != contract.JobEnded {
			return false
		}
	}
	return true
}

// running counts the jobs whose last event is still missing. An unclaimed job does not count: an executor that claims
// it now finds the stop.
func (r *run) running() int {
	n := 0
	for _, j := range r.Jobs {
		if j.State == contract.JobRunning {
			n++
		}
	}
	return n
}

func (r *run) late(now time.Time) bool { return !r.Deadline.IsZero() && now.After(r.Deadline) }

// settled returns when the time for the jobs' last events expires. It starts when the run begins to end, for a late
// flow at its deadline, but not before the stops are sent.
func (s *State) settled(r *run, now time.Time) time.Time {
	from := r.Ending
	if len(r.Failures) == 0 && r.Cancel == nil {
		from = r.Deadline
	}
	told := r.stopped
	if len(r.Failures) > 0 && r.reportersRunning() {
		told = r.stoppedLast
	}
	if told.IsZero() {
		told = now
	}
	return later(from, told).Add(s.limits.Settle)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// sooner returns the earlier of two times; a zero time is none.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// endVerdict returns the verdict of a run that did not complete. A failure takes precedence over a later cancel.
func (s *State) endVerdict(flow string, r *run, now time.Time) contract.Event {
	switch {
	case len(r.Failures) > 0 && !r.CancelledFirst:
		return verdict(contract.TypeFlowPanic, flow, r.panic(r.Failures, now))
	case r.Cancel != nil:
		return verdict(contract.TypeFlowCancelled, flow, &contract.FlowCancelled{
			Duration: r.duration(now), By: r.Cancel.By, Source: r.Cancel.Source, Reason: r.Cancel.Reason,
			Jobs: r.summaries(), Edges: r.counts(),
		})
	default:
		late := contract.JobFailure{Failure: r.lateness(s.queued(flow))}
		return verdict(contract.TypeFlowPanic, flow, r.panic([]contract.JobFailure{late}, now))
	}
}

// queued returns what a flow is waiting for in the queue for capacity, nil if it is not.
func (s *State) queued(flow string) *contract.FlowQueued {
	if x := s.shown[flow]; x != nil && x.Phase == contract.TypeFlowQueued {
		return x.Queued
	}
	return nil
}

func (r *run) lateness(queued *contract.FlowQueued) contract.Failure {
	var open []string
	for name, j := range r.sorted() {
		if j.State != contract.JobEnded {
			open = append(open, name+" ("+string(j.State)+")")
		}
	}
	message := fmt.Sprintf("the flow did not end by its deadline, %v after it was submitted; ",
		r.Deadline.Sub(r.Since).Round(time.Millisecond))
	if queued != nil {
		message += "it was still waiting for " + queued.Lacks()
	} else {
		message += "not ended: " + listed(open)
	}
	return contract.Failure{Kind: contract.KindDeadline, Message: message}
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

// othersLimit bounds the texts of all further failures of a verdict, in bytes: if an executor with a thousand jobs
// exits, all of them have the same failure.
const othersLimit = 128 << 10

// brief returns the failures without repeated details, and within othersLimit.
func brief(failures []contract.JobFailure, given string) []contract.JobFailure {
	out := make([]contract.JobFailure, len(failures))
	left := othersLimit
	for i, f := range failures {
		if f.Detail == given || len(f.Detail) > left {
			f.Detail = ""
		}
		f.Message = document.Shorten(f.Message, max(left, 100))
		left = max(0, left-len(f.Detail)-len(f.Message))
		out[i] = f
	}
	return out
}

func (r *run) completion(now time.Time) *contract.FlowCompleted {
	return &contract.FlowCompleted{Duration: r.duration(now), Jobs: len(r.Jobs), Edges: r.counts()}
}

func (r *run) duration(now time.Time) document.Duration {
	return document.Duration(max(0, now.Sub(r.Since)).Round(time.Microsecond))
}

func (r *run) summaries() map[string]contract.JobSummary {
	out := make(map[string]contract.JobSummary, len(r.Jobs))
	for name, j := range r.Jobs {
		out[name] = j.JobSummary
	}
	return out
}

// counts returns the counts of each edge, from the reports of both ends.
func (r *run) counts() []contract.EdgeCount {
	out := make([]contract.EdgeCount, len(r.Edges))
	for i, e := range r.Edges {
		out[i] = r.count(e)
	}
	return out
}

func (r *run) count(e edge) contract.EdgeCount {
	c := contract.EdgeCount{From: e.From, To: e.To, Sent: e.Const}
	writer, out := r.jobAt(e.From)
	switch {
	case writer != nil && out == progdef.PanicPort:
		n := writer.written()
		c.Sent = &n
	case writer != nil:
		c.Sent = reported(writer.Ports.Outputs, out)
	}
	reader, in := r.jobAt(e.To)
	if reader == nil {
		return c // read by a client: flow.cleaned has its counts
	}
	c.Received = reported(reader.Ports.Inputs, in)
	c.ClosedEarly = slices.Contains(reader.Ports.ClosedEarly, in)
	if strings.HasPrefix(e.From, inputPrefix) && reader.State == contract.JobEnded && !c.ClosedEarly {
		c.Sent = c.Received // it was read to the end, where totals and checksum were verified
	}
	return c
}

// Inputs and outputs of the flow, as the ends of edges.
const (
	inputPrefix  = "inputs."
	outputPrefix = "outputs."
)

// reported returns the count of a port, or nil.
func reported(ports map[string]contract.Count, port string) *contract.Count {
	n, ok := ports[port]
	if !ok {
		return nil
	}
	return &n
}

// jobAt returns the job and port of an edge's end; nil for the flow's own ends and constants.
func (r *run) jobAt(endpoint string) (*job, string) {
	node, port, _ := strings.Cut(endpoint, ".")
	return r.Jobs[node], port
}

func verdict(t contract.Type, flow string, data any) contract.Event {
	return contract.Event{Type: t, Subject: flow, Data: data}
}
