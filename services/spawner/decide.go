package spawner

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/spawner/admission"
)

// Decide grants capacity to waiting flows, starts and drains executors accordingly, and tells flows what they wait for.
func Decide(s *State, key string, now time.Time) (effects []contract.Event, next time.Time) {
	p := newPlan(s, now)
	switch {
	case key == keyAdmit:
		p.admit()
		p.share()
	case key == keyTell:
		p.tellQueued()
		p.tellStalls()
	case strings.HasPrefix(key, keyTend):
		p.tend(strings.TrimPrefix(key, keyTend))
	case strings.HasPrefix(key, keyFlow):
		p.waits(strings.TrimPrefix(key, keyFlow))
	}
	return p.effects, p.next
}

// Open returns the keys that a new leader must decide: all of them.
func Open(s *State) []string {
	keys := slices.Clone(capacityKeys)
	for _, mailbox := range slices.Sorted(maps.Keys(s.serving)) {
		keys = append(keys, keyTend+mailbox)
	}
	for _, f := range s.queue.Flows() {
		keys = append(keys, keyFlow+f.ID)
	}
	for _, flow := range slices.Sorted(maps.Keys(s.runs)) {
		if s.runs[flow].startedEarly() {
			keys = append(keys, keyFlow+flow)
		}
	}
	return keys
}

// A plan is the capacity after the effects so far. The state is only read.
type plan struct {
	s   *State
	now time.Time
	// used and live are what the plan adds to the counts of a revision, places what it leaves for executors.
	used, live map[*revision]int
	places     int
	drained    map[string]bool // by this plan
	started    uint64          // by this plan
	effects    []contract.Event
	// postponed is when the first flow is to be told something that it is not told now, zero for none.
	postponed time.Time
	// next is when the plan changes without an event, zero for never.
	next time.Time
}

func newPlan(s *State, now time.Time) *plan {
	return &plan{
		s: s, now: now, used: make(map[*revision]int), live: make(map[*revision]int), places: s.places(),
		drained: make(map[string]bool),
	}
}

// again schedules a new plan.
func (p *plan) again(at time.Time) {
	if at.After(p.now) && (p.next.IsZero() || at.Before(p.next)) {
		p.next = at
	}
}

// do adds an effect; an effect on a flow carries the flow's trace.
func (p *plan) do(e contract.Event) {
	if r := p.s.runs[e.Subject]; r != nil && e.Flow() != "" {
		e.Trace = r.Trace
	}
	p.effects = append(p.effects, e)
}

// grants is how many flows are granted in one decision. The next decision follows when one of them is published.
const grants = 64

// admit starts the executors that granted jobs lack, grants capacity to the flows that fit, makes room for the next
// ones, and keeps the minimum of each progdef in the places that nobody can get now.
func (p *plan) admit() {
	short := p.startGranted()
	result := p.admitted(grants)
	p.again(result.Next)
	for _, f := range result.Admitted {
		p.grant(f)
	}
	if len(result.Cramped) > 0 {
		p.makeRoom(result)
		return
	}
	p.places = min(p.places, -result.Places) // the others are kept for flows with a reservation
	for _, r := range short {
		p.keepMinimum(r)
	}
}

// startGranted starts the executors that granted jobs lack, and returns the revisions that have fewer executors than they
// should.
func (p *plan) startGranted() []*revision {
	short := slices.SortedFunc(maps.Keys(p.s.short), byMailbox)
	for _, r := range short {
		p.cover(r)
	}
	return short
}

// admitted decides which flows get capacity, up to a number of them.
func (p *plan) admitted(limit int) admission.Result {
	room := admission.NewRoom(p.places, p.s.limits.Executors, p.s.busy)
	room.Idle = func() int {
		idle, leaving := p.idle()
		return leaving + p.dispensable(idle, nil)
	}
	return p.s.queue.Admit(p.now, room, limit)
}

func byMailbox(a, b *revision) int { return strings.Compare(a.mailbox(), b.mailbox()) }

// grant grants a flow all that it needs.
func (p *plan) grant(f *admission.Flow) {
	for _, n := range f.Needs {
		rev := p.s.revisions[n.Pool.Name]
		p.used[rev] += n.Slots
		p.cover(rev)
	}
	p.spawned(f.ID)
}

// spawned puts the jobs of a flow on their mailboxes.
func (p *plan) spawned(flow string) {
	r, waits := p.s.runs[flow], p.s.queue.Flow(flow) != nil
	executors := make(map[string]int)
	for _, j := range r.State {
		if waits || j.Holds {
			rev := p.s.revisions[j.Mailbox]
			executors[j.Mailbox] = rev.pool.Live + p.live[rev]
		}
	}
	p.do(contract.Event{
		Type: contract.TypeFlowSpawned, Subject: flow, With: r.unstarted(),
		Data: &contract.FlowSpawned{Executors: executors, Jobs: len(r.State)},
	})
}

// unstarted returns the jobs to put on their mailboxes. A replaced leader may have put them there without publishing
// it, and EVENTS, which refuses a second job.started, may have been trimmed since.
func (r *run) unstarted() []contract.Job {
	return slices.DeleteFunc(slices.Clone(r.Jobs), func(j contract.Job) bool {
		s := r.State[j.Job]
		return s != nil && s.Started
	})
}

// cover starts executors until all granted jobs of a revision have a slot. If its executors keep exiting, it backs off
// until a later tick.
func (p *plan) cover(r *revision) {
	missing := r.executorsFor(r.pool.Used+p.used[r]) - r.pool.Live - p.live[r]
	if missing = p.start(r, missing); missing > 0 {
		p.drainSpare(missing, nil)
	}
}

// start starts up to n executors, and returns how many do not fit.
func (p *plan) start(r *revision, n int) int {
	if p.now.Before(r.Until) {
		p.again(r.Until)
		return 0
	}
	for ; n > 0 && p.places > 0; n-- {
		id := p.s.executorID(r.Name, r.mailbox(), p.s.seq+p.started)
		p.started++
		p.places--
		p.live[r]++
		p.do(contract.Event{
			Type: contract.TypeExecutorStarted, Subject: id, With: r.Pinned,
			Data: &contract.ExecutorStarted{Executor: id, Progdef: r.Name, Revision: r.Pinned.Revision},
		})
	}
	return n
}

// keepMinimum keeps minExecutors of a current revision.
func (p *plan) keepMinimum(r *revision) {
	switch missing := r.belowMinimum() - p.live[r]; {
	case missing <= 0:
	case p.now.Before(r.Spare):
		p.again(r.Spare)
	default:
		p.start(r, missing)
	}
}

// makeRoom drains idle executors for the first flows that lack nothing but places for executors. For flows without a
// reservation there must be enough of them: otherwise they would be drained, and started again for others, for nothing.
func (p *plan) makeRoom(r admission.Result) {
	needed := make(map[string]int)
	need := func(f *admission.Flow, sign int) {
		for _, n := range f.Needs {
			needed[n.Pool.Name] += sign * n.Slots
		}
	}
	for _, f := range r.Kept {
		need(f, 1)
	}
	idle, leaving := p.idle()
	met := false
	for _, c := range r.Cramped {
		if c.Starts == 0 { // it has a reservation
			met = true
			continue
		}
		if need(c.Flow, 1); r.Places+c.Starts <= leaving+p.dispensable(idle, needed) {
			r.Places += c.Starts
			met = true
		} else {
			need(c.Flow, -1)
		}
	}
	if met {
		p.drainSpare(r.Places, needed)
	}
}

// idle returns the idle executors of each mailbox, and how many more are draining.
func (p *plan) idle() (idle map[string][]string, leaving int) {
	idle = make(map[string][]string)
	for mailbox, c := range p.s.serving {
		for id, x := range c.tended {
			switch {
			case x.jobs > 0:
			case x.drains || p.drained[id]:
				leaving++
			default:
				idle[mailbox] = append(idle[mailbox], id)
			}
		}
	}
	return idle, leaving
}

// dispensable returns how many idle executors are not needed for granted jobs and so many waiting ones.
func (p *plan) dispensable(idle map[string][]string, waiting map[string]int) (sum int) {
	for mailbox, ids := range idle {
		n := len(ids)
		if r := p.s.revisions[mailbox]; r != nil {
			n = min(n, r.pool.Live+p.live[r]-r.executorsFor(r.pool.Used+p.used[r]+waiting[mailbox]))
		}
		sum += max(0, n)
	}
	return sum
}

// drainSpare drains up to n idle executors, minus those that drain already. It leaves as many as are needed for the
// jobs that wait, which are counted by mailbox.
func (p *plan) drainSpare(n int, waiting map[string]int) {
	idle, leaving := p.idle()
	if n -= leaving; n <= 0 {
		return
	}
	for _, id := range slices.Sorted(slices.Values(slices.Concat(slices.Collect(maps.Values(idle))...))) {
		x := p.s.executors[id]
		if p.spare(id, x, waiting[x.Mailbox]) {
			p.drain(id, x, "its capacity is needed by another progdef")
			if n--; n == 0 {
				return
			}
		}
	}
}

// spare reports whether an executor is idle, and the granted jobs of its revision and so many waiting ones have slots
// without it.
func (p *plan) spare(id string, x *executor, waiting int) bool {
	if x.jobs > 0 || x.drains || p.drained[id] {
		return false
	}
	r := p.s.revisions[x.Mailbox]
	return r == nil || r.pool.Live+p.live[r]-1 >= r.executorsFor(r.pool.Used+p.used[r]+waiting)
}

// tend drains the executors of a mailbox that are not needed any more, and gives up those that do not react.
func (p *plan) tend(mailbox string) {
	c := p.s.serving[mailbox]
	if c == nil {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(c.tended)) {
		x := c.tended[id]
		p.drainIdle(id, x)
		p.giveUpLingering(id, x)
	}
}

// drainIdle drains an executor that is idle for longer than its progdef's idleTimeout, or an idle one of a revision
// that is no longer current.
func (p *plan) drainIdle(id string, x *executor) {
	r := p.s.revisions[x.Mailbox]
	if !p.spare(id, x, 0) {
		return
	}
	switch {
	case r == nil || !r.current && !p.s.queue.Wanted(&r.pool):
		p.drain(id, x, "its revision is no longer current")
	case r.pool.Live+p.live[r] <= r.scaling().MinExecutors:
	case p.now.Sub(x.Idle) < r.scaling().IdleTimeout.D():
		p.again(x.Idle.Add(r.scaling().IdleTimeout.D()))
	default:
		p.drain(id, x, fmt.Sprintf("idle for %v", r.scaling().IdleTimeout))
	}
}

// drain returns the effect, so that the caller can change it.
func (p *plan) drain(id string, x *executor, reason string) *contract.Event {
	p.drained[id] = true
	if r := p.s.revisions[x.Mailbox]; r != nil {
		p.live[r]--
	}
	progdef, revision := contract.SplitMailbox(x.Mailbox)
	d := &contract.ExecutorDraining{Executor: id, Progdef: progdef, Revision: revision, Reason: reason}
	p.do(contract.Event{Type: contract.TypeExecutorDraining, Subject: id, Data: d})
	return &p.effects[len(p.effects)-1]
}

// waits rejects a waiting flow that will not get its capacity, and tells a new one what it waits for.
func (p *plan) waits(id string) {
	f, r := p.s.queue.Flow(id), p.s.runs[id]
	if r != nil && r.startedEarly() {
		p.spawned(id)
	}
	if f == nil || f.Claimed() {
		return
	}
	if problems := p.s.never(f); len(problems) > 0 {
		p.reject(id, problems)
		return
	}
	isNew, fits := r.Told.At.IsZero(), p.s.fits(f)
	if soon := f.Since.Add(queuedPause); isNew && fits && p.now.Before(soon) {
		p.again(soon) // most likely it is granted before
		return
	}
	if full := p.s.full(f); isNew && !fits && len(full) > 0 {
		p.reject(id, full)
		return
	}
	if v := p.look(); !v.overdue(f) && isNew {
		v.tell(f)
	}
}

// overdue rejects a flow that has waited for too long.
func (v view) overdue(f *admission.Flow) bool {
	limit := v.s.limits.QueueTime
	if f.Since.IsZero() { // of an earlier version
		return false
	}
	due := f.Since.Add(limit)
	v.again(due)
	if v.now.Before(due) {
		return false
	}
	what, line := v.waitsFor(f)
	v.name(f, &what, line)
	v.reject(f.ID, problem.List{{
		Code: problem.QueuedTooLong,
		Message: fmt.Sprintf("the flow has waited for capacity for %v, the limit of this installation; it is waiting for %s",
			limit, what.Lacks()),
		Hint: "submit the flow again later, or raise the scaling of its progdefs",
	}})
	return true
}

func (p *plan) reject(id string, problems problem.List) {
	p.do(contract.Event{
		Type: contract.TypeFlowRejected, Subject: id, Data: &contract.FlowRejected{Problems: problems},
	})
}

// full returns the limits on waiting flows that those that arrived before a flow fill.
func (s *State) full(f *admission.Flow) (out problem.List) {
	add := func(message string) {
		out = append(out, problem.Problem{
			Code: problem.QueueFull, Message: message, Hint: "submit the flow again when other flows have ended",
		})
	}
	if s.queue.Before(f) >= s.limits.Queue {
		add(fmt.Sprintf("the queue for capacity is full: %s may wait", document.Count(s.limits.Queue, "flow")))
	}
	for _, l := range f.Crowds() {
		add(fmt.Sprintf("the %s has %s waiting for capacity; the limit of each %s is %d",
			l.Of, document.Count(l.Held, "flow"), l.Of, l.Limit))
	}
	return out
}

// never returns the capacity that the flow lacks even on an idle installation, and the limits that it exceeds by itself.
func (s *State) never(f *admission.Flow) problem.List {
	var out problem.List
	total := 0
	for _, n := range f.Needs {
		rev := s.revisions[n.Pool.Name]
		most := n.Pool.Max * n.Pool.Slots
		total += rev.executorsFor(n.Slots)
		if n.Slots > most {
			out = append(out, problem.Problem{
				Code: problem.NeverFits, Pointer: "/nodes",
				Message: fmt.Sprintf("the flow has %s of %s, which can run at most %s at a time (%s of %s each)",
					document.Count(n.Slots, "node"), rev.Name, document.Count(most, "job"),
					document.Count(n.Pool.Max, "executor"), document.Count(n.Pool.Slots, "job")),
				Hint: "raise the progdef's scaling, or split the flow",
			})
		}
	}
	if total > s.limits.Executors {
		out = append(out, problem.Problem{
			Code: problem.NeverFits, Pointer: "/nodes",
			Message: fmt.Sprintf("the flow needs %d executors at the same time; the limit is %d",
				total, s.limits.Executors),
			Hint: "raise the limit on executors, of the installation or of the tenant, or the progdefs' jobsPerExecutor, or split the flow",
		})
	}
	for _, l := range f.Exceeds() {
		out = append(out, problem.Problem{
			Code: problem.NeverFits, Pointer: "/nodes",
			Message: fmt.Sprintf("the flow needs %s at the same time; the limit of each %s is %d",
				document.Count(l.Needed, strings.TrimSuffix(l.What, "s")), l.Of, l.Limit),
			Hint: fmt.Sprintf("raise the spawner's --%s-%s, or split the flow", l.Of, l.What),
		})
	}
	return out
}
