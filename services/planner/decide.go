package planner

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/pkg/trace"
)

// actStop makes a flow's jobs stop; it is performed, not published.
const actStop contract.Type = "act.stop"

// actMailbox creates the mailbox of an executor, which waits for it.
const actMailbox contract.Type = "act.mailbox"

// Decide returns the plan of a valid flow, and the clean-up of a flow that ended; of a mailbox its creation.
func Decide(s *State, id string, now time.Time) (effects []contract.Event, next time.Time) {
	r := s.runs[id]
	switch {
	case strings.Contains(id, "."): // no flow's id
		return s.mailbox(id), next
	case r == nil: // cleaned up already
	case !r.Ended.IsZero():
		return s.cleanUp(id, r, now)
	case !r.Planned && r.Validated != nil && len(s.shards) > 0:
		return []contract.Event{s.plan(id, r)}, next
	}
	return nil, next
}

// Open returns the flows that have something on the broker, or are about to, and the mailboxes of executors.
func Open(s *State) []string {
	mailboxes := slices.Compact(slices.Sorted(maps.Values(s.executors)))
	return append(slices.Sorted(maps.Keys(s.runs)), mailboxes...)
}

// mailbox creates a mailbox unless it was created since the last start of an executor.
func (s *State) mailbox(name string) []contract.Event {
	if s.made[name] {
		return nil
	}
	return []contract.Event{{Type: actMailbox, Subject: name}}
}

// cleanUp removes what the flow has on the broker, once its outputs need not be kept.
func (s *State) cleanUp(id string, r *run, now time.Time) (effects []contract.Event, next time.Time) {
	if r.retained(now) {
		next = r.Ended.Add(r.Retention)
		if r.Planned && !r.OK && !r.stopped { // the verdict may have preceded the plan
			effects = []contract.Event{{Type: actStop, Subject: id, With: r.Stream}}
		}
		return effects, next
	}
	cleaned := contract.FlowCleaned{Stream: r.Stream, Mailboxes: []string{}, Read: r.read}
	if !r.Planned { // it may have been provisioned nevertheless
		cleaned.Stream = s.stream(id)
	}
	if !r.OK { // a completed flow has no unclaimed jobs
		cleaned.Mailboxes = slices.Sorted(slices.Values(r.Mailboxes))
	}
	return []contract.Event{{
		Type: contract.TypeFlowCleaned, Subject: id, Data: &cleaned, Trace: r.Trace,
		With: ending{age: now.Sub(r.At), mayRun: !r.OK && cleaned.Stream != ""},
	}}, next
}

func (s *State) plan(id string, r *run) contract.Event {
	if p := s.overBudget(r.Validated.Flow); p != nil {
		return contract.Event{
			Type: contract.TypeFlowRejected, Subject: id, Trace: r.Trace,
			Data: &contract.FlowRejected{Problems: p},
		}
	}
	return contract.Event{
		Type: contract.TypeFlowPlanned, Subject: id, Trace: r.Trace,
		Data: s.lay(id, r), With: r.Validated.Flow,
	}
}

// overBudget reports the limits that the broker would exceed with the given flow.
func (s *State) overBudget(f flow.Flow) problem.List {
	var out problem.List
	check := func(have, limit int, what string) {
		if have > limit {
			out = append(out, problem.Problem{
				Code:    problem.BrokerBudget,
				Message: fmt.Sprintf("this flow would make %d live %s; the limit is %d", have, what, limit),
				Hint:    "submit it again after other flows have ended, or raise the planner's limit",
			})
		}
	}
	check(s.flows+1, s.limits.Flows, "flows")
	check(s.edges+len(f.Edges), s.limits.Edges, "edges")
	out = append(out, s.limits.tooLong(f)...)
	return out
}

// tooLong reports constants that do not fit into their edge: they are stored before anything reads them.
func (l Limits) tooLong(f flow.Flow) (out problem.List) {
	for _, e := range f.Edges {
		n := count(e.Const)
		most := min(l.Window, l.Frames*stream.DefaultFrameTarget) / 2
		if n == nil || n.Bytes+10*n.Records <= most {
			continue
		}
		out = append(out, problem.Problem{
			Code: problem.TooLarge, Pointer: "/nodes",
			Message: fmt.Sprintf("the constant %s has %d bytes in %s; an edge can hold %d unread bytes",
				e.Source(), n.Bytes, document.Count(n.Records, "record"), most),
			Hint: "shorten it, raise the planner's edge window, or send the records through an input of the flow",
		})
	}
	return out
}

// lay turns the normal form into jobs and addresses.
func (s *State) lay(id string, r *run) *contract.FlowPlanned {
	d := r.Validated
	p := &contract.FlowPlanned{
		Jobs: []contract.Job{}, Edges: make([]contract.PlannedEdge, len(d.Flow.Edges)),
		Progdefs: d.Progdefs,
		Inputs:   map[string]contract.Address{}, Outputs: map[string]contract.Address{},
		Deadline: r.At.Add(d.Flow.Deadline.D()), Stop: contract.StopSubject(s.shard(id), id),
		OutputRetention: retentionOf(s.limits), Priority: d.Flow.Priority,
	}
	if len(d.Flow.Nodes)+len(d.Flow.Edges) > 0 {
		p.Stream = s.stream(id)
	}
	jobs := make(map[string]*contract.Job, len(d.Flow.Nodes))
	reporting := reporters(d.Flow)
	if len(reporting) > 0 {
		p.LastStop = contract.LastStopSubject(s.shard(id), id)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Flow.Nodes)) {
		j := job(id, r.Trace, name, d)
		j.Stream, j.Stop, j.Log = p.Stream, p.Stop, s.log(id, name)
		if reporting[name] {
			j.Stop = p.LastStop
		}
		p.Jobs = append(p.Jobs, j)
	}
	for i := range p.Jobs {
		jobs[p.Jobs[i].Job] = &p.Jobs[i]
	}
	salt := s.salt(r)
	for n, edge := range d.Flow.Edges {
		a := s.address(id, n, edge.Type, salt)
		if salt != "" {
			a.Writer, a.Reader = ends(edge, r.Owner)
		}
		p.Edges[n] = contract.PlannedEdge{
			From: edge.Source(), To: edge.Sink(), Type: edge.Type, Subject: a.Subject, Credit: a.Credit,
			Const: count(edge.Const),
		}
		attach(p, jobs, edge, a)
	}
	return p
}

// attach gives both ends of an edge its address.
func attach(p *contract.FlowPlanned, jobs map[string]*contract.Job, edge flow.Edge, a contract.Address) {
	switch {
	case edge.From != "":
		node, port, _ := strings.Cut(edge.From, ".")
		if port == progdef.PanicPort {
			p.Panics = with(p.Panics, node, a)
		} else {
			jobs[node].Outputs[port] = a
		}
	case edge.Input != "":
		p.Inputs[edge.Input] = a
	}
	if edge.To == "" {
		p.Outputs[edge.Output] = a
		return
	}
	node, port, _ := strings.Cut(edge.To, ".")
	jobs[node].Inputs[port] = a
}

func with(m map[string]contract.Address, key string, a contract.Address) map[string]contract.Address {
	if m == nil {
		m = make(map[string]contract.Address)
	}
	m[key] = a
	return m
}

// reporters finds the nodes downstream of a connected panic port. A stop port leads nowhere: its node reads
// no data there.
func reporters(f flow.Flow) map[string]bool {
	next := make(map[string][]string)
	var open []string
	for _, e := range f.Edges {
		from, out, _ := strings.Cut(e.From, ".")
		to, in, _ := strings.Cut(e.To, ".")
		switch {
		case to == "" || in == progdef.StopPort:
		case out == progdef.PanicPort:
			open = append(open, to)
		default:
			next[from] = append(next[from], to)
		}
	}
	found := make(map[string]bool)
	for len(open) > 0 {
		node := open[len(open)-1]
		open = open[:len(open)-1]
		if !found[node] {
			found[node] = true
			open = append(open, next[node]...)
		}
	}
	return found
}

func (s *State) address(id string, n int, typename, salt string) contract.Address {
	a := contract.EdgeAddress(s.shard(id), id, n, s.limits.Window, s.limits.Frames, typename)
	a.Salt = salt
	return a
}

// ends returns who writes and who reads an edge.
func ends(e flow.Edge, owner string) (writer, reader *contract.End) {
	client := &contract.End{Name: cmp.Or(owner, contract.Nobody)}
	writer, reader = &contract.End{Name: contract.Nobody}, client
	if node, port, _ := strings.Cut(e.From, "."); node != "" && port != progdef.PanicPort {
		writer = &contract.End{Job: node}
	} else if e.Input != "" {
		writer = client
	}
	if node, _, _ := strings.Cut(e.To, "."); node != "" {
		reader = &contract.End{Job: node}
	}
	return writer, reader
}

// salt distinguishes the keys of a flow from those of an earlier one with the same id, by the time at which the flow was
// validated: so each leader stores constants with the same keys. It is "" if edges are not sealed.
func (s *State) salt(r *run) string {
	if !s.limits.Seal {
		return ""
	}
	return strconv.FormatInt(r.At.UnixNano(), 36)
}

// shard is where a new flow's edges are stored.
func (s *State) shard(id string) string {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(id))
	return s.shards[hash.Sum32()%uint32(len(s.shards))]
}

func (s *State) stream(id string) string {
	if len(s.shards) == 0 {
		return "" // nothing was provisioned
	}
	return contract.EdgeStream(s.shard(id))
}

// log returns where a job may log, nil if nothing is kept.
func (s *State) log(id, job string) *contract.Log {
	if s.limits.LogRate == 0 {
		return nil
	}
	return &contract.Log{Subject: contract.LogSubject(id, job), Rate: s.limits.LogRate}
}

func job(id string, t trace.Context, name string, d *contract.FlowValidated) contract.Job {
	node := d.Flow.Nodes[name]
	health := d.Progdefs[node.Progdef].Document.Health
	subject := func(t contract.Type) string { return string(t) + "." + id + "." + name }
	return contract.Job{
		Flow: id, Job: name, Node: name, Progdef: node.Progdef, Revision: node.Revision,
		Inputs: map[string]contract.Address{}, Outputs: map[string]contract.Address{},
		Started: subject(contract.TypeJobStarted), Done: subject(contract.TypeJobDone),
		Panic: subject(contract.TypeJobPanic), Health: contract.HealthSubject(id, name),
		HealthInterval: health.Interval, HealthTimeout: health.Timeout, TraceParent: t.Job(id, name).Parent,
	}
}

func count(c *flow.Const) *contract.Count {
	if c == nil {
		return nil
	}
	n := contract.Count{Records: int64(len(c.Values))}
	for _, v := range c.Values {
		n.Bytes += int64(len(v))
	}
	return &n
}
