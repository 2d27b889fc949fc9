package simulation

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/panic-aggregator"
	"github.com/dagyo/dagyo/services/planner"
	"github.com/dagyo/dagyo/services/spawner"
	"github.com/dagyo/dagyo/services/validator"
)

// check checks a settled history.
func (w *world) check() {
	w.checkFlows()
	w.checkQuotas()
	w.checkCommands()
	w.checkUnreadable()
	w.checkCatalog()
	w.sameStates()
}

// checkCatalog checks that the bucket contains what the answers say, whichever leader has given them.
func (w *world) checkCatalog() {
	want := map[string]contract.CatalogEntry{}
	for _, e := range w.log {
		if !e.readable {
			continue
		}
		switch d := e.Event.Data.(type) {
		case *contract.ProgdefApplied:
			want[e.Event.Subject] = contract.CatalogEntry{Seq: e.Seq, Published: contract.Published{
				Pinned: progdef.Pinned{Revision: d.Revision, Document: d.Document}, By: d.By, At: e.At,
			}}
		case *contract.ProgdefRemoved:
			want[e.Event.Subject] = contract.CatalogEntry{Seq: e.Seq, Removed: true, Published: contract.Published{By: d.By, At: e.At}}
		case *contract.ProgdefRejected:
			if d.Problems[0].Code == problem.PolicyRefused {
				w.happened["progdef refused by the policy"]++
			}
		}
	}
	if !reflect.DeepEqual(w.catalog, want) {
		w.fatalf("the bucket of progdefs contains\n%v, want\n%v", w.catalog, want)
	}
}

// A story contains the events of EVENTS about one flow, up to some place.
type story struct {
	flow, owner   string
	valid         uint64 // the place of its flow.validated
	live, spawned bool
	// stall is the beginning of a stall without an end, moved is when a job last started or ended.
	stall *contract.FlowStalled
	moved time.Time
	// ended is the event that ended it.
	ended    *entry
	deadline time.Time
	jobs     map[string]*tale
	// cancelled is the place of the first cancel after, or shortly before, the flow was validated, by somebody who may.
	cancelled uint64
	by        []string // who may cancel it and does
	failed    []string // jobs, in order
	protocol  bool
	// justLate is set if the deadline passed while a job was open.
	lateOpen, cancelledOpen bool
}

// A tale contains the events of EVENTS about one job.
type tale struct {
	executor string
	done     bool
	over     bool
}

func (s *story) allDone() bool {
	for _, j := range s.jobs {
		if !j.done {
			return false
		}
	}
	return s.spawned && s.jobs != nil
}

// before reports whether a job of that name was started before the flow was validated.
func (s *story) before(w *world, job string) bool {
	subject := "job.started." + s.flow + "." + job
	return slices.ContainsFunc(w.log[:s.valid], func(e *entry) bool {
		_, plain := contract.SplitSender(e.Subject)
		return plain == subject
	})
}

// cancel notes a cancel, if its sender may cancel the flow.
func (s *story) cancel(e *entry) bool {
	by := e.Event.Sender()
	if by.Name != "" && s.owner != "" && by.Name != s.owner && !by.Operator {
		return false
	}
	if s.by = append(s.by, by.Name); s.cancelled == 0 {
		s.cancelled = e.Seq
	}
	return true
}

// checkFlows follows all flows through EVENTS.
func (w *world) checkFlows() {
	stories := map[string]*story{}
	cancels := map[string][]*entry{}
	var refused []*entry // cancels by others, and reports of other executors about running jobs
	exited := map[string]bool{}
	known := map[string]bool{}
	for _, e := range w.log {
		for _, s := range stories {
			s.lateOpen = s.lateOpen || s.live && s.ended == nil && !s.deadline.IsZero() && e.At.After(s.deadline) && !s.allDone()
			s.cancelledOpen = s.cancelledOpen || s.live && s.ended == nil && s.cancelled > 0 && s.cancelled < e.Seq && !s.allDone()
		}
		if !e.readable {
			continue
		}
		flow := e.Event.Subject
		switch d := e.Event.Data.(type) {
		case *contract.FlowCancel:
			if s := stories[flow]; s != nil && s.live && s.ended == nil && !w.tainted[flow] {
				if !s.cancel(e) {
					refused = append(refused, e)
				}
			} else if s == nil || !s.live {
				cancels[flow] = append(cancels[flow], e)
			}
		case *contract.ExecutorStarted:
			known[d.Executor] = true
		case *contract.ExecutorExited:
			exited[d.Executor] = true
			for _, s := range stories {
				for _, name := range slices.Sorted(maps.Keys(s.jobs)) {
					j := s.jobs[name]
					if j.executor == d.Executor && !j.over {
						j.over = true
						s.failed = append(s.failed, name)
					}
				}
			}
		}
		if w.tainted[flow] || e.Event.Flow() == "" {
			continue
		}
		s := stories[flow]
		if e.Type == contract.TypeFlowValidated {
			if s != nil && s.live {
				w.fatalf("%s is validated twice: again at %d", flow, e.Seq)
			}
			d := e.Event.Data.(*contract.FlowValidated)
			s := &story{flow: flow, owner: d.Owner, valid: e.Seq, live: true, deadline: e.At.Add(d.Flow.Deadline.D())}
			for _, c := range cancels[flow] {
				if !s.cancel(c) {
					refused = append(refused, c)
				}
			}
			stories[flow] = s
			delete(cancels, flow)
			w.checkOwner(e, d)
			continue
		}
		if s == nil {
			switch e.Type {
			case contract.TypeFlowSubmit, contract.TypeFlowCancel, contract.TypeFlowRejected, contract.TypeJobDone, contract.TypeJobPanic:
				continue
			}
			w.fatalf("%s is about a flow that was not validated", describe(e))
		}
		if s.refuses(e.Event) {
			if s.ended == nil {
				refused = append(refused, e)
			}
			continue
		}
		w.follow(s, e, exited)
	}
	w.checkRefused(stories, refused)
	for flow, s := range stories {
		if s.live && !w.tainted[flow] {
			w.fatalf("%s is not finished: ended %t", flow, s.ended != nil)
		}
	}
}

// refuses reports whether an event is about a running job of another executor.
func (s *story) refuses(e contract.Event) bool {
	var job string
	switch d := e.Data.(type) {
	case *contract.JobStarted:
		job = d.Job
	case *contract.JobDone:
		job = d.Job
	case *contract.JobPanic:
		job = d.Job
	}
	j := s.jobs[job]
	return j != nil && !j.over && (stolen(e) || j.executor != "" && j.executor != e.ReportedBy())
}

// stolen reports whether an event is the start of a job by an executor of another mailbox.
func stolen(e contract.Event) bool { return e.Mailbox == "other-1" }

// checkRefused checks that refused events have one answer. The panic-aggregator may have given up a silent job before.
func (w *world) checkRefused(stories map[string]*story, refused []*entry) {
	for _, e := range refused {
		n := 0
		for _, letter := range w.log {
			if d, ok := letter.Event.Data.(*contract.DeadLetter); ok && d.Sequence == e.Seq {
				n += w.news(letter)
			}
		}
		s := stories[e.Event.Subject]
		if n > 1 || n == 0 && (e.Type == contract.TypeFlowCancel || s.ended != nil && s.ended.Type == contract.TypeFlowCompleted) {
			w.fatalf("%s, which has no effect, has %d answers", describe(e), n)
		}
	}
}

// checkOwner checks that a flow belongs to the sender of its submission.
func (w *world) checkOwner(e *entry, d *contract.FlowValidated) {
	if by := w.log[e.Event.Cause-1].Event.By; d.Owner != by {
		w.fatalf("%s belongs to %q; it was submitted by %q", describe(e), d.Owner, by)
	}
}

// follow adds an event to a story, and checks that it is allowed there.
func (w *world) follow(s *story, e *entry, exited map[string]bool) {
	flow := e.Event.Subject
	if e.Event.EndsFlow() {
		if s.ended != nil {
			w.fatalf("%s ends twice: at %d and %d", flow, s.ended.Seq, e.Seq)
		}
		if !s.live {
			w.fatalf("%s ends after its end, at %d", flow, e.Seq)
		}
		w.justified(s, e)
		s.ended = e
		return
	}
	switch e.Type {
	case contract.TypeJobStarted, contract.TypeJobDone, contract.TypeJobPanic:
		s.moved = e.At
	}
	switch d := e.Event.Data.(type) {
	case *contract.FlowRejected: // by the validator: it must not be a second outcome
		w.fatalf("%s is rejected after its flow.validated, at %d", flow, e.Seq)
	case *contract.FlowPlanned:
		if s.jobs != nil {
			w.fatalf("%s is planned twice: at %d", flow, e.Seq)
		}
		s.jobs = map[string]*tale{}
		for _, j := range d.Jobs {
			s.jobs[j.Job] = &tale{}
		}
	case *contract.FlowSpawned:
		if s.spawned {
			w.fatalf("%s is spawned twice: at %d", flow, e.Seq)
		}
		s.spawned = true
	case *contract.FlowStalled:
		switch {
		case s.ended != nil || !s.spawned:
			w.fatalf("%s is about a flow that does not run", describe(e))
		case d.Stalled != (s.stall == nil):
			w.fatalf("%s says again that the flow is stalled: %t", describe(e), d.Stalled)
		case d.Stalled && e.At.Sub(d.Since) < stallAfter:
			w.fatalf("%s comes %v behind the last progress", describe(e), e.At.Sub(d.Since))
		case !d.Stalled && d.Records == s.stall.Records && !s.moved.After(s.stall.Since):
			w.fatalf("%s: nothing has moved", describe(e))
		}
		if s.stall = d; !d.Stalled {
			s.stall = nil
		}
	case *contract.JobStarted:
		j := s.jobs[d.Job]
		switch {
		case stolen(e.Event):
			return // it has no effect
		case j == nil:
			w.fatalf("job %s of %s is started before it is planned: at %d", d.Job, flow, e.Seq)
		case j.executor != "":
			w.fatalf("job %s of %s is started twice: at %d", d.Job, flow, e.Seq)
		}
		j.executor = d.Executor
		if exited[d.Executor] {
			j.over = true
			s.failed = append(s.failed, d.Job)
		}
	case *contract.JobDone:
		if j := s.jobs[d.Job]; j != nil && j.executor == d.Executor && !j.over {
			j.over, j.done = true, !d.Stopped
			s.protocol = s.protocol || d.Stopped
		}
	case *contract.JobPanic:
		if j := s.jobs[d.Job]; j != nil && j.executor == d.Executor && !j.over {
			j.over = true
			s.failed = append(s.failed, d.Job)
		}
	case *contract.FlowCleaned:
		if s.ended == nil || !s.live {
			w.fatalf("%s is cleaned at %d: ended %t, live %t", flow, e.Seq, s.ended != nil, s.live)
		}
		s.live = false
	}
}

// justified checks a verdict against the content of EVENTS at its place.
func (w *world) justified(s *story, e *entry) {
	bad := func(why string) { w.fatalf("%s is not justified: %s", describe(e), why) }
	switch d := e.Event.Data.(type) {
	case *contract.FlowCompleted:
		if !s.allDone() {
			bad("not all its jobs were done")
		}
	case *contract.FlowCancelled:
		if s.cancelled == 0 || s.cancelled >= e.Seq {
			bad("no user cancelled it")
		}
		if !slices.Contains(s.by, d.By) {
			bad("it was cancelled by others than " + d.By)
		}
		if s.allDone() && !s.cancelledOpen {
			bad("all its jobs were done before it was cancelled")
		}
	case *contract.FlowPanic:
		switch d.Cause.Kind {
		case contract.KindDeadline:
			if e.At.Before(s.deadline) {
				bad("its deadline had not passed")
			}
			if s.allDone() && !s.lateOpen {
				bad("all its jobs were done in time")
			}
		case contract.KindLostHealth:
			if w.first > 1 && s.before(w, d.Cause.Job) {
				return // its id was used before, and a job.started arrived after everything else had ended and was trimmed
			}
			if since, silent := w.silent[d.Cause.Executor]; !silent || e.At.Sub(since) < healthTimeout {
				bad("the executor was alive")
			}
		case contract.KindCrash:
			if strings.HasPrefix(d.Cause.Message, "no executor") || strings.Contains(d.Cause.Message, "in a row") {
				if w.failedStarts(e.Seq) < 3 {
					bad("fewer than three executors failed to start")
				}
				return
			}
			fallthrough
		default:
			if len(s.failed) == 0 && !s.protocol {
				bad("no job has failed")
			}
			if len(s.failed) > 0 && s.failed[0] != d.Cause.Job && !s.protocol {
				bad("job " + s.failed[0] + " failed first")
			}
		}
	}
}

// healthTimeout is the default health timeout of progdefs.
const healthTimeout = 10 * time.Second

// failedStarts counts the executors that were started and exited without a job, before a place.
func (w *world) failedStarts(until uint64) (n int) {
	started, proved := map[string]bool{}, map[string]bool{}
	for _, e := range w.log[:until] {
		switch d := e.Event.Data.(type) {
		case *contract.ExecutorStarted:
			started[d.Executor] = true
		case *contract.JobStarted:
			proved[d.Executor] = true
		case *contract.ExecutorExited:
			if started[d.Executor] && !proved[d.Executor] {
				n++
			}
		}
	}
	return n
}

// checkQuotas checks that each flow has its user, and that nobody has more flows than the quota when one starts. A leader that is replaced while it grants a flow may still grant it, so only the first one is held to this.
func (w *world) checkQuotas() {
	live := map[string]map[string]bool{"": {}, "anna": {}, "bert": {}}
	for _, e := range w.log {
		flow := e.Event.Subject
		if w.tainted[flow] || !e.readable || e.Event.Flow() == "" {
			continue
		}
		user := userOf(flow)
		if d, ok := e.Event.Data.(*contract.FlowValidated); ok && d.Owner != user {
			w.fatalf("%s was submitted by %s, not by %q", flow, user, d.Owner)
		}
		if e.Event.EndsFlow() {
			delete(live[user], flow)
			delete(live[""], flow)
		}
		if e.Type != contract.TypeFlowSpawned || w.replaced > 0 && e.Seq > w.replaced {
			continue
		}
		live[user][flow], live[""][flow] = true, true
		w.exceeded(e, "the user "+user, len(live[user]), w.ofUser.Flows)
		w.exceeded(e, "the tenant", len(live[""]), w.ofTenant.Flows)
	}
}

func (w *world) exceeded(e *entry, who string, flows, limit int) {
	if limit > 0 && flows > limit {
		w.fatalf("%s: %s has %d flows, the limit is %d", describe(e), who, flows, limit)
	}
}

// checkCommands checks that each command has one answer.
func (w *world) checkCommands() {
	answers, valid := map[uint64]int{}, map[string]bool{}
	for _, e := range w.log {
		if !e.readable {
			continue
		}
		if d, ok := e.Event.Data.(*contract.DeadLetter); ok {
			answers[d.Sequence] += w.news(e)
		} else if e.Event.Cause > 0 && e.Event.Source != contract.Source(planner.Name) && e.Event.Source != contract.Source(spawner.Name) {
			answers[e.Event.Cause]++
		}
		valid[e.Event.Subject] = valid[e.Event.Subject] || e.Type == contract.TypeFlowValidated
	}
	for _, e := range w.log {
		if !e.readable || w.tainted[e.Event.Subject] {
			continue
		}
		n := answers[e.Seq]
		switch e.Type {
		case contract.TypeProgdefApply, contract.TypeProgdefRemove, contract.TypeTypeApply, contract.TypeFlowSubmit,
			contract.TypeWebhookApply, contract.TypeWebhookRemove, contract.TypeWebhookRotate:
			if n != 1 {
				w.fatalf("%s has %d answers", describe(e), n)
			}
		case contract.TypeFlowCancel:
			if n > 1 || n == 0 && !valid[e.Event.Subject] && !w.taken(e.Event.Subject) {
				w.fatalf("%s has %d answers", describe(e), n)
			}
		}
	}
}

// taken reports whether anything was ever published about a flow.
func (w *world) taken(flow string) bool {
	if w.tainted[flow] {
		return true
	}
	for _, e := range w.log {
		if strings.HasPrefix(e.Subject, "flow.") && strings.HasSuffix(e.Subject, "."+flow) && e.Type != contract.TypeFlowRejected {
			return true
		}
	}
	return false
}

// news is 1 for a dead letter, and 0 for a repeated one: a leader that was paused while publishing it may publish it
// again, with the same id.
func (w *world) news(e *entry) int {
	d := e.Event.Data.(*contract.DeadLetter)
	for _, before := range w.log[:e.Seq-1] {
		if same, ok := before.Event.Data.(*contract.DeadLetter); ok && same.Sequence == d.Sequence && before.Event.Source == e.Event.Source {
			return 0
		}
	}
	return 1
}

// checkUnreadable checks that each unreadable message that a service answers has one answer.
func (w *world) checkUnreadable() {
	answered := map[contract.Type]bool{}
	for _, types := range [][]contract.Type{
		validator.Logic().Answers, planner.Logic().Answers, spawner.Logic().Answers, aggregator.Logic().Answers,
	} {
		for _, t := range types {
			answered[t] = true
		}
	}
	answers := map[uint64]int{}
	for _, e := range w.log {
		if d, ok := e.Event.Data.(*contract.DeadLetter); ok {
			answers[d.Sequence] += w.news(e)
		} else if e.Type == contract.TypeFlowRejected && e.readable && e.Event.Cause > 0 {
			answers[e.Event.Cause]++
		}
	}
	for _, e := range w.log {
		if !e.readable && answered[e.Type] && answers[e.Seq] != 1 {
			w.fatalf("%s has %d answers", describe(e), answers[e.Seq])
		}
	}
}
