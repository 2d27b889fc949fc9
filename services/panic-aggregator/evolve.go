package aggregator

import (
	"fmt"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service"
)

// Evolve returns the state after an event or fact. It changes s in place.
func Evolve(s State, e contract.Event) State {
	if e.EndsFlow() {
		delete(s.runs, e.Subject)
		delete(s.cancels, e.Subject)
		return s
	}
	switch d := e.Data.(type) {
	case *contract.FlowValidated:
		s.begin(e, d)
	case *contract.FlowRejected:
		delete(s.cancels, e.Subject) // of a submission that never became a flow
	case *contract.FlowPlanned:
		s.plan(e.Subject, d)
	case *contract.FlowSpawned:
		s.with(e.Subject, func(r *run) { r.spawned, r.waiting = true, s.now })
	case *contract.FlowCancel:
		s.askCancel(e, d)
	case *contract.JobStarted:
		s.jobStarted(e.Subject, d)
	case *contract.JobDone:
		s.jobDone(e, d)
	case *contract.JobPanic:
		s.jobPanicked(e.Subject, d)
	case *contract.ExecutorDraining:
		s.proved[d.Executor] = true // its exit is no failed start
	case *contract.ExecutorExited:
		s.executorExited(d)
	case *Beat:
		s.heard(d)
	case *Gone:
		s.found(d)
	}
	if e.Type == service.Tick {
		s.tick(e.Time)
	}
	return s
}

func (s *State) with(flow string, f func(*run)) {
	if r := s.runs[flow]; r != nil {
		f(r)
	}
}

func (s *State) begin(e contract.Event, d *contract.FlowValidated) {
	if s.runs[e.Subject] != nil {
		return
	}
	r := &run{since: e.Time, trace: e.TraceParent, jobs: map[string]*job{}, failedStarts: map[string]int{}}
	if d.Flow.Deadline > 0 {
		r.deadline = e.Time.Add(d.Flow.Deadline.D())
	}
	s.runs[e.Subject] = r
	if c, ok := s.cancels[e.Subject]; ok {
		delete(s.cancels, e.Subject)
		r.cancel, r.cancelledFirst, r.ending = &c, true, s.now
	}
}

func (s *State) plan(flow string, d *contract.FlowPlanned) {
	s.with(flow, func(r *run) {
		r.deadline, r.edges, r.open, r.panics = d.Deadline, d.Edges, len(d.Jobs), d.Panics
		for _, j := range d.Jobs {
			r.jobs[j.Job] = &job{
				JobSummary: contract.JobSummary{State: contract.JobWaiting},
				progdef:    j.Progdef, revision: j.Revision,
				health:    d.Progdefs[j.Progdef].Document.Health,
				reporting: j.Stop == contract.LastStopSubject(flow),
			}
		}
	})
}

func (s *State) askCancel(e contract.Event, d *contract.FlowCancel) {
	c := cancel{by: e.Source, reason: d.Reason, at: e.Time}
	r := s.runs[e.Subject]
	switch {
	case r == nil:
		s.cancels[e.Subject] = c
	case r.cancel == nil:
		r.cancel, r.cancelledFirst = &c, len(r.failures) == 0
		r.beginEnding(s.now)
	}
}

func (r *run) beginEnding(now time.Time) {
	if r.ending.IsZero() {
		r.ending = now
	}
}

func (r *run) job(name string) *job {
	if j := r.jobs[name]; j != nil && !j.ended() {
		return j
	}
	return nil
}

func (s *State) jobStarted(flow string, d *contract.JobStarted) {
	if s.exits.known[d.Executor] == nil {
		s.proved[d.Executor] = true
	}
	s.with(flow, func(r *run) {
		j := r.job(d.Job)
		if j == nil {
			return
		}
		j.State, j.Executor = contract.JobRunning, d.Executor
		j.dead = s.lease(j)
		if exit := s.exits.known[d.Executor]; exit != nil {
			r.fail(d.Job, j, crash(exit), contract.PortCounts{}, s.now)
			return
		}
		s.forgiveStarts(contract.Mailbox(j.progdef, j.revision))
	})
}

// lease is when a job that was just heard is dead unless it beats; zero before the first tick, which
// then grants the time.
func (s *State) lease(j *job) time.Time {
	if s.now.IsZero() {
		return time.Time{}
	}
	return s.now.Add(j.health.Timeout.D())
}

// forgiveStarts forgets failed starts on a mailbox once one of its executors has started a job.
func (s *State) forgiveStarts(mailbox string) {
	if !s.failing[mailbox] {
		return
	}
	delete(s.failing, mailbox)
	for _, r := range s.runs {
		delete(r.failedStarts, mailbox)
	}
}

func (s *State) jobDone(e contract.Event, d *contract.JobDone) {
	s.with(e.Subject, func(r *run) {
		j := r.job(d.Job)
		if j == nil {
			return
		}
		if d.Stopped && r.goesOn(later(s.now, e.Time)) {
			r.fail(d.Job, j, edgesGone(), d.PortCounts, s.now)
			return
		}
		state := contract.JobEnded
		if d.Stopped {
			state = contract.JobStopped
		}
		r.end(j, state, d.PortCounts)
	})
}

// goesOn reports whether nobody has had a reason to stop the run.
func (r *run) goesOn(now time.Time) bool {
	return !r.ends(now)
}

// edgesGone is the failure of a job that found its flow stopped although nobody had stopped it: a
// broker that keeps edges in memory was restarted, or somebody has deleted the stream.
func edgesGone() contract.Failure {
	return contract.Failure{
		Kind:    contract.KindProtocol,
		Message: "the flow's edges are gone from the broker: its stream was deleted, or kept in memory by a server that restarted",
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (s *State) jobPanicked(flow string, d *contract.JobPanic) {
	s.with(flow, func(r *run) {
		if j := r.job(d.Job); j != nil {
			j.Executor = d.Executor
			r.fail(d.Job, j, d.Failure, d.PortCounts, s.now)
		}
	})
}

func (r *run) end(j *job, state contract.JobState, ports contract.PortCounts) {
	j.State, j.ports = state, ports
	r.open--
}

func (r *run) fail(name string, j *job, f contract.Failure, ports contract.PortCounts, now time.Time) {
	r.end(j, contract.JobPanicked, ports)
	j.failure = &contract.JobFailure{Job: name, Progdef: j.progdef, Executor: j.Executor, Failure: f}
	r.failures = append(r.failures, *j.failure)
	r.beginEnding(now)
}

func (s *State) executorExited(d *contract.ExecutorExited) {
	s.exits.add(d)
	failedStart := !s.proved[d.Executor]
	delete(s.proved, d.Executor)
	for _, r := range s.runs {
		for name, j := range r.sorted() {
			if j.State == contract.JobRunning && j.Executor == d.Executor {
				r.fail(name, j, crash(d), contract.PortCounts{}, s.now)
			}
		}
		if failedStart {
			s.startFailed(r, d)
		}
	}
}

// crash is the failure of a job whose process ended without a word.
func crash(d *contract.ExecutorExited) contract.Failure {
	return contract.Failure{
		Kind:    contract.KindCrash,
		Message: fmt.Sprintf("executor %s %s while the job was running%s", d.Executor, ending(d), because(d)),
		Detail:  d.Detail,
	}
}

func ending(d *contract.ExecutorExited) string {
	switch {
	case d.Signal != "":
		return "was ended by signal " + d.Signal
	case d.Code >= 0:
		return fmt.Sprintf("exited with code %d", d.Code)
	default:
		return "ended (" + d.Reason + ")"
	}
}

// because adds what a backend knows beyond code and signal, such as that memory was short.
func because(d *contract.ExecutorExited) string {
	if d.Reason == "" || d.Code < 0 && d.Signal == "" || d.Reason == contract.PlainEnding(d.Code, d.Signal) {
		return ""
	}
	return ": " + d.Reason
}

// startFailed counts an executor that died before it started any job, and gives up on the jobs that
// wait for its kind after Limits.StartAttempts of them.
func (s *State) startFailed(r *run, d *contract.ExecutorExited) {
	mailbox := contract.Mailbox(d.Progdef, d.Revision)
	if !r.spawned || !r.waitsFor(mailbox) {
		return
	}
	s.failing[mailbox] = true
	if r.failedStarts[mailbox]++; r.failedStarts[mailbox] < s.limits.StartAttempts && !d.Permanent {
		return
	}
	for name, j := range r.sorted() {
		if j.State == contract.JobWaiting && contract.Mailbox(j.progdef, j.revision) == mailbox {
			r.fail(name, j, neverStarted(d, r.failedStarts[mailbox]), contract.PortCounts{}, s.now)
		}
	}
}

func neverStarted(d *contract.ExecutorExited, times int) contract.Failure {
	f := contract.Failure{Kind: contract.KindCrash, Detail: d.Detail}
	if f.Message = "no executor of " + d.Progdef + " can run: " + d.Reason; !d.Permanent {
		f.Message = fmt.Sprintf("%d executors of %s in a row ended before they started a job; the last one %s%s",
			times, d.Progdef, ending(d), because(d))
	}
	return f
}

func (r *run) waitsFor(mailbox string) bool {
	for _, j := range r.jobs {
		if j.State == contract.JobWaiting && contract.Mailbox(j.progdef, j.revision) == mailbox {
			return true
		}
	}
	return false
}
