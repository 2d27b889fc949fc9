package aggregator

import (
	"cmp"
	"container/list"
	"slices"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// A flow is stalled if none of its readers has read a record for Limits.StallAfter although jobs run. What the readers
// have read is checked by the leader, in the credits that the flow's shard stores: some flows each second, the least
// recently checked first. Events of jobs count as progress, too.

const (
	// trafficEvery is the time between two rounds of checks, trafficCredits bounds the credits that are read in one.
	trafficEvery   = time.Second
	trafficCredits = 1000
	// checksPerStall is how often a flow is checked in Limits.StallAfter, if trafficCredits allows.
	checksPerStall = 4
)

// traffic is what is known of what moves in a run. It is not stored.
type traffic struct {
	// records is the number of records that the readers had read at the last check, unknownRecords before the first.
	records int64
	// since is when something last moved, checked is the time of the last check.
	since, checked time.Time
	// place is in State.flowing, nil if the run is not checked.
	place *list.Element
}

// unknownRecords is the number of records that could not be read.
const unknownRecords = -1

// A stall is what is stored of a flow.stalled until the stall has ended.
type stall struct {
	Since   time.Time `json:"since"`
	Records int64     `json:"records"`
}

// traffic returns what is known of the traffic of a run that was read from a snapshot. x may be nil.
func (x *stall) traffic() traffic {
	if x == nil {
		return traffic{records: unknownRecords}
	}
	return traffic{records: x.Records, since: x.Since}
}

// Traffic is the number of records that the readers of a flow have read, unknownRecords if that is not known.
type Traffic struct {
	Flow    string
	Records int64
}

// Measured returns the fact that the credits of some flows were read.
func Measured(all []Traffic, at time.Time) contract.Event {
	return contract.Event{Type: factTraffic, With: all, Time: at}
}

// A flowing is a flow whose credits are to be read.
type flowing struct {
	flow, shard string
	room        room // of each edge
	ends        []ends
}

// ends are the names of who writes and who reads an edge, "" for the executor of a job that has not started.
type ends struct{ writer, reader string }

// flowing returns what is needed to read the credits of a flow.
func (r *run) flowing() flowing {
	f := flowing{r.flow, shardOf(r.Stream), r.room, make([]ends, len(r.Edges))}
	if r.room.Salt == "" {
		return f
	}
	for n, e := range r.Edges {
		f.ends[n] = ends{r.end(e.From, e.Const != nil), r.end(e.To, false)}
	}
	return f
}

// end returns the name of who is at one end of a sealed edge.
func (r *run) end(end string, service bool) string {
	node, port, _ := strings.Cut(end, ".")
	switch j := r.Jobs[node]; {
	case service, j != nil && port == progdef.PanicPort:
		return contract.Nobody
	case j != nil:
		return j.Executor
	}
	return cmp.Or(r.Owner, contract.Nobody)
}

// watchTraffic begins to check a spawned run.
func (s *State) watchTraffic(r *run, t traffic) {
	if len(r.Edges) == 0 || shardOf(r.Stream) == "" || r.traffic.place != nil {
		return
	}
	r.traffic = t
	r.traffic.place = s.flowing.PushBack(r)
}

// shardOf returns the shard of a stream of edges, "" for a stream of a flow's own.
func shardOf(stream string) string {
	shard, ok := strings.CutPrefix(stream, contract.EdgeStreamPrefix)
	if !ok {
		return ""
	}
	return shard
}

// moved records that something moved in a run. The run is checked behind the others.
func (s *State) moved(r *run, now time.Time) {
	if t := &r.traffic; t.place != nil {
		t.since = later(t.since, now)
		s.flowing.MoveToBack(t.place)
	}
}

// dueTraffic returns the flows to be checked now.
func (s *State) dueTraffic(now time.Time) (out []flowing) {
	credits := 0
	for e := s.flowing.Front(); e != nil && credits < trafficCredits; e = e.Next() {
		r := e.Value.(*run)
		if now.Sub(later(r.traffic.since, r.traffic.checked)) < s.limits.StallAfter/checksPerStall {
			break // those behind it were checked later
		}
		out = append(out, r.flowing())
		credits += len(r.Edges)
	}
	return out
}

// measured folds a check. It returns the flows of which a stall may begin or end.
func (s *State) measured(all []Traffic, now time.Time) (flows []string) {
	for _, m := range all {
		r := s.runs[m.Flow]
		if r == nil || r.traffic.place == nil {
			continue
		}
		t := &r.traffic
		s.flowing.MoveToBack(t.place)
		if m.Records == unknownRecords {
			continue
		}
		if t.checked = now; m.Records != t.records {
			t.records, t.since = m.Records, later(t.since, now)
		}
		if s.quiet(r) || r.Stall != nil {
			flows = append(flows, m.Flow)
		}
	}
	return flows
}

// since returns when something last moved in a run. Nothing can be seen to move while this process cannot receive.
func (s *State) since(r *run) time.Time { return later(r.traffic.since, s.ears.again) }

// quiet reports whether nothing has moved in a run for long enough, as of its last check.
func (s *State) quiet(r *run) bool {
	t := &r.traffic
	return t.place != nil && t.records != unknownRecords && !t.checked.Before(s.since(r).Add(s.limits.StallAfter))
}

// stalls returns the event that a stall has begun or ended, if that is not published. next is when to decide again.
func (s *State) stalls(flow string, r *run, now time.Time) (out []contract.Event, next time.Time) {
	since := s.since(r)
	d := &contract.FlowStalled{
		Stalled: r.Stall == nil, Since: since, Records: max(r.traffic.records, 0),
		Blocking: []string{}, Edges: []contract.EdgeCount{},
	}
	switch {
	case r.Stall != nil && !r.traffic.since.After(r.Stall.Since), r.Stall == nil && (!s.quiet(r) || r.running() == 0):
		return nil, next
	case r.Stall != nil:
		d.Since = r.Stall.Since
	case now.Before(since.Add(s.limits.StallAfter)): // an event until then may say that something has moved
		return nil, since.Add(s.limits.StallAfter)
	}
	return []contract.Event{{Type: contract.TypeFlowStalled, Subject: flow, Data: d}}, next
}

// stalled folds a flow.stalled.
func (s *State) stalled(e contract.Event, d *contract.FlowStalled) {
	s.with(e.Subject, func(r *run) {
		t := &r.traffic
		t.records = max(t.records, d.Records) // more may have been read since the event was decided
		if d.Stalled {
			r.Stall = &stall{d.Since, d.Records}
			t.since = later(t.since, sooner(d.Since, e.Time)) // a forged event may name any time
		} else {
			r.Stall = nil
			t.since = later(t.since, e.Time)
		}
	})
}

// describe completes the beginning of a stall with the state of the flow's edges.
func describe(d *contract.FlowStalled, s *contract.FlowStatus) {
	d.Blocking = bounded(blocking(s))
	for _, e := range s.Edges {
		if e.Waits != "" || e.Unread > 0 {
			d.Edges = append(d.Edges, e)
		}
	}
	slices.SortStableFunc(d.Edges, func(a, b contract.EdgeCount) int { return b.Fill - a.Fill })
	d.Edges = bounded(d.Edges)
}

func bounded[T any](all []T) []T { return all[:min(len(all), contract.StalledEdges)] }

// blocking lists what a flow waits for: the jobs and own ends of the flow that have not ended and that nothing else
// keeps waiting. A job waits if the window of one of its outputs is full, or if there is nothing to read on one of its
// inputs.
func blocking(s *contract.FlowStatus) []string {
	waits := make(map[string]bool)
	out := []string{}
	for _, e := range s.Edges {
		from, _, _ := strings.Cut(e.From, ".")
		to, port, _ := strings.Cut(e.To, ".")
		switch {
		case port == progdef.StopPort: // nobody waits for a stop
		case e.Waits == contract.SideWriter && strings.HasPrefix(e.To, outputPrefix):
			waits[from] = true
			out = append(out, e.To)
		case e.Waits == contract.SideWriter:
			waits[from] = true
		case e.Waits == contract.SideReader && strings.HasPrefix(e.From, inputPrefix):
			waits[to] = true
			out = append(out, e.From)
		case e.Waits == contract.SideReader:
			waits[to] = true
		}
	}
	for name, j := range s.Jobs {
		if (j.State == contract.JobRunning || j.State == contract.JobWaiting) && !waits[name] {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
