package spawner

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
)

// Decide grants capacity to the flows at the head of the queue, and starts and drains executors accordingly.
func Decide(s *State, key string, now time.Time) (effects []contract.Event, next time.Time) {
	p := newPlan(s, now)
	if key == keyTend {
		p.keepMinimum()
		p.drainIdle()
		p.giveUpLingering()
	} else {
		p.admit()
		p.repair()
		p.tellQueued()
		p.tellStalls()
	}
	return p.effects, p.next
}

// Open returns the keys that a new leader must decide: all of them.
func Open(*State) []string { return bothKeys }

// A plan is the capacity after the effects so far. It copies the counts that it changes; the state is only read.
type plan struct {
	s       *State
	now     time.Time
	used    map[string]int // granted jobs on live executors, by mailbox
	live    map[string]int
	total   int             // processes, draining ones included
	drained map[string]bool // by this plan
	started uint64          // by this plan
	queue   []string        // flows that still wait
	effects []contract.Event
	// next is when the plan changes without an event, zero for never.
	next time.Time
}

func newPlan(s *State, now time.Time) *plan {
	p := &plan{
		s: s, now: now, used: make(map[string]int), live: make(map[string]int),
		drained: make(map[string]bool), total: len(s.executors), queue: s.queue,
	}
	for mailbox, r := range s.revisions {
		p.used[mailbox] = r.used
	}
	for _, x := range s.executors {
		if x.Draining {
			p.used[x.Mailbox] -= x.jobs
		} else {
			p.live[x.Mailbox]++
		}
	}
	return p
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
		e.TraceParent = r.Trace
	}
	p.effects = append(p.effects, e)
}

// admit grants capacity in order until a flow has to wait. Flows without jobs never wait.
func (p *plan) admit() {
	var waiting []string
	blocked := false
	for _, id := range p.s.queue {
		r := p.s.runs[id]
		if p.reject(id, append(p.never(r), p.crowded(r, len(waiting))...)) {
			continue
		}
		if len(r.State) > 0 && (blocked || !p.fits(r)) {
			blocked = true
			waiting = append(waiting, id)
			continue
		}
		p.grant(id, r)
	}
	p.queue = waiting
}

// fits reports whether all jobs of the flow can hold a slot now. If only idle executors of other revisions prevent
// that, it drains them; the flow then waits for their exit.
func (p *plan) fits(r *run) bool {
	short := p.shortage(r)
	if len(short) == 0 {
		return true
	}
	if len(short) == 1 && short[0].What == whatExecutors {
		p.makeRoom(short[0].Needed-short[0].Free, r)
	}
	return false
}

// Kinds of shortage.
const (
	whatSlots     = "slots"
	whatExecutors = "executors"
)

// shortage lists what the flow lacks now.
func (p *plan) shortage(r *run) []contract.Shortage {
	var out []contract.Shortage
	more := 0
	for _, mailbox := range slices.Sorted(maps.Keys(r.need)) {
		rev := p.s.revisions[mailbox]
		need := r.need[mailbox]
		most := rev.Pinned.Document.Scaling.MaxExecutors * rev.perExecutor()
		if free := most - p.used[mailbox]; need > free {
			out = append(out, contract.Shortage{
				Progdef: rev.Name, Revision: rev.Pinned.Revision, What: whatSlots,
				Needed: need, Free: max(free, 0), Limit: most,
			})
		}
		more += max(0, rev.executorsFor(p.used[mailbox]+need)-p.live[mailbox])
	}
	if free := p.s.limits.Executors - p.total; more > max(free, 0) {
		out = append(out, contract.Shortage{
			What: whatExecutors, Needed: more, Free: max(free, 0), Limit: p.s.limits.Executors,
		})
	}
	return out
}

// makeRoom drains up to n idle executors that the flow does not need, minus those that already drain.
func (p *plan) makeRoom(n int, r *run) {
	for id, x := range p.s.executors {
		if (x.Draining || p.drained[id]) && x.jobs == 0 {
			n--
		}
	}
	for _, id := range slices.Sorted(maps.Keys(p.s.executors)) {
		x := p.s.executors[id]
		switch {
		case n <= 0:
			return
		case r.need[x.Mailbox] == 0 && p.spare(id, x):
			p.drain(id, x, "its capacity is needed by another progdef")
			n--
		}
	}
}

// spare reports whether an executor is idle and the granted jobs of its revision have slots without it.
func (p *plan) spare(id string, x *executor) bool {
	r := p.s.revisions[x.Mailbox]
	return x.jobs == 0 && !x.Draining && !p.drained[id] &&
		(r == nil || p.live[x.Mailbox]-1 >= r.executorsFor(p.used[x.Mailbox]))
}

func (p *plan) grant(id string, r *run) {
	executors := make(map[string]int)
	for _, mailbox := range slices.Sorted(maps.Keys(r.need)) {
		p.used[mailbox] += r.need[mailbox]
		p.cover(mailbox)
		executors[mailbox] = p.live[mailbox]
	}
	p.do(contract.Event{
		Type: contract.TypeFlowSpawned, Subject: id, With: r.unstarted(),
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

// repair starts executors for granted jobs whose executors exited before the jobs were claimed.
func (p *plan) repair() {
	for _, mailbox := range slices.Sorted(maps.Keys(p.s.revisions)) {
		p.cover(mailbox)
	}
}

// cover starts executors until all granted jobs of a mailbox have a slot. If executors of this revision keep exiting,
// it backs off until a later tick.
func (p *plan) cover(mailbox string) {
	r := p.s.revisions[mailbox]
	if missing := p.start(r, r.executorsFor(p.used[mailbox])-p.live[mailbox]); missing > 0 {
		p.makeRoom(missing, &run{need: map[string]int{mailbox: 1}})
	}
}

// start starts up to n executors, and returns how many do not fit.
func (p *plan) start(r *revision, n int) int {
	if p.now.Before(r.Until) {
		p.again(r.Until)
		return 0
	}
	mailbox := r.mailbox()
	started := 0
	for ; started < n && p.total < p.s.limits.Executors; started++ {
		id := executorID(r.Name, mailbox, p.s.seq+p.started)
		p.started++
		p.do(contract.Event{
			Type: contract.TypeExecutorStarted, Subject: id, With: r.Pinned,
			Data: &contract.ExecutorStarted{Executor: id, Progdef: r.Name, Revision: r.Pinned.Revision},
		})
		p.live[mailbox]++
		p.total++
	}
	return n - started
}

// crowded rejects a new flow if the queue is full.
func (p *plan) crowded(r *run, waiting int) problem.List {
	if waiting < p.s.limits.Queue || !r.Told.At.IsZero() {
		return nil
	}
	return problem.List{{
		Code:    problem.TooMany,
		Message: fmt.Sprintf("the queue for capacity is full: %s may wait", document.Count(p.s.limits.Queue, "flow")),
		Hint:    "submit the flow again when other flows have ended",
	}}
}

func (p *plan) reject(id string, problems problem.List) bool {
	if len(problems) == 0 {
		return false
	}
	p.do(contract.Event{
		Type: contract.TypeFlowRejected, Subject: id,
		Data: &contract.FlowRejected{Problems: problems},
	})
	return true
}

// never returns the capacity that the flow lacks even on an idle installation.
func (p *plan) never(r *run) problem.List {
	var out problem.List
	total := 0
	for _, mailbox := range slices.Sorted(maps.Keys(r.need)) {
		rev := p.s.revisions[mailbox]
		scaling := rev.Pinned.Document.Scaling
		most := scaling.MaxExecutors * scaling.JobsPerExecutor
		total += rev.executorsFor(r.need[mailbox])
		if r.need[mailbox] > most {
			out = append(out, problem.Problem{
				Code: problem.NeverFits, Pointer: "/nodes",
				Message: fmt.Sprintf("the flow has %s of %s, which can run at most %s at a time (%s of %s each)",
					document.Count(r.need[mailbox], "node"), rev.Name, document.Count(most, "job"),
					document.Count(scaling.MaxExecutors, "executor"), document.Count(scaling.JobsPerExecutor, "job")),
				Hint: "raise the progdef's scaling, or split the flow",
			})
		}
	}
	if total > p.s.limits.Executors {
		out = append(out, problem.Problem{
			Code: problem.NeverFits, Pointer: "/nodes",
			Message: fmt.Sprintf("the flow needs %d executors at the same time; the limit of this installation is %d",
				total, p.s.limits.Executors),
			Hint: "raise the spawner's limit on executors or the progdefs' jobsPerExecutor, or split the flow",
		})
	}
	return out
}

// keepMinimum keeps minExecutors of every current revision.
func (p *plan) keepMinimum() {
	for _, mailbox := range slices.Sorted(maps.Keys(p.s.revisions)) {
		r := p.s.revisions[mailbox]
		missing := r.scaling().MinExecutors - p.live[mailbox]
		switch {
		case !r.current || missing <= 0:
		case p.now.Before(r.Spare):
			p.again(r.Spare)
		default:
			p.start(r, missing)
		}
	}
}

// drainIdle drains executors that are idle for longer than their progdef's idleTimeout, and idle executors of
// revisions that are no longer current.
func (p *plan) drainIdle() {
	for _, id := range slices.Sorted(maps.Keys(p.s.executors)) {
		x := p.s.executors[id]
		r := p.s.revisions[x.Mailbox]
		if !p.spare(id, x) {
			continue
		}
		switch {
		case r == nil || !r.current && !p.s.wantedByQueue(x.Mailbox):
			p.drain(id, x, "its revision is no longer current")
		case p.live[x.Mailbox] <= r.scaling().MinExecutors:
		case p.now.Sub(x.Idle) < r.scaling().IdleTimeout.D():
			p.again(x.Idle.Add(r.scaling().IdleTimeout.D()))
		default:
			p.drain(id, x, fmt.Sprintf("idle for %v", r.scaling().IdleTimeout))
		}
	}
}

// drain returns the effect, so that the caller can change it.
func (p *plan) drain(id string, x *executor, reason string) *contract.Event {
	p.drained[id] = true
	p.live[x.Mailbox]--
	progdef, revision := contract.SplitMailbox(x.Mailbox)
	d := &contract.ExecutorDraining{Executor: id, Progdef: progdef, Revision: revision, Reason: reason}
	p.do(contract.Event{Type: contract.TypeExecutorDraining, Subject: id, Data: d})
	return &p.effects[len(p.effects)-1]
}
