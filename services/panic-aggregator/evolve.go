package aggregator

import (
	"fmt"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service/core"
)

// Evolve folds an event or fact.
func Evolve(s *State, e contract.Event) []string {
	if e.Seq > 0 {
		s.ears.note(e.Time)
	}
	if e.Flow() != "" {
		s.show(e)
	}
	if e.EndsFlow() {
		return s.end(e)
	}
	if e.Type == contract.TypeTick {
		return nil
	}
	switch d := e.Data.(type) {
	case *contract.FlowValidated:
		s.begin(e, d)
	case *contract.FlowPlanned:
		s.plan(e.Subject, d)
	case *contract.FlowSpawned:
		s.with(e.Subject, func(r *run) { r.Spawned, r.Waiting = r.Planned, e.Time })
	case *contract.FlowCancel:
		return s.askCancel(e, d)
	case *contract.FlowCleaned:
		return []string{keyHistory}
	case *contract.JobStarted:
		s.jobStarted(e, d)
	case *contract.JobDone:
		return s.jobDone(e, d)
	case *contract.JobPanic:
		return s.jobPanicked(e, d)
	case *contract.ExecutorStarted:
		s.executor(d.Executor).Known = true
		return nil
	case *contract.ExecutorDraining:
		if x := s.executors[d.Executor]; x != nil {
			x.Proved = true // its exit is not a failed start
		}
		return nil
	case *contract.ExecutorExited:
		return s.executorExited(e, d)
	case *contract.DeadLetter:
		return s.answered(d.Sequence)
	default:
		return s.fact(e)
	}
	return []string{e.Subject}
}

// fact folds a fact.
func (s *State) fact(e contract.Event) []string {
	switch e.Type {
	case factBeat:
		s.heard(e.With.(Beat), e.Time)
		return nil
	case factClient:
		s.clientHeard(e.With.(ClientBeat), e.Time)
		return nil
	case factGone:
		s.found(e.With.(Gone), e.Time)
		return nil
	case factListening:
		s.ears = ears{begun: true}
		return nil
	case core.FactMissed:
		s.ears.deaf += e.With.(time.Duration)
		s.ears.again = e.Time
		s.ears.strain(e.Time)
		return nil
	case core.FactLate:
		s.ears.strain(e.Time)
		return nil
	case factPulse:
		return s.suspect(e.Time)
	case factStored:
		s.past.stored(e.With.(uint64))
		return []string{keyHistory}
	}
	return s.performed(e)
}

// performed folds a performed act.
func (s *State) performed(e contract.Event) []string {
	flow := e.Subject
	if d, ok := e.Data.(*Report); ok {
		flow = flow[:len(flow)-len(d.Job)-1]
	}
	if e.Type == actStore {
		s.past.sent = e.With.(batch).upto
		return []string{keyHistory}
	}
	s.with(flow, func(r *run) {
		switch e.Type {
		case actStop:
			r.stopped = e.Time
		case actStopLast:
			r.stoppedLast = e.Time
		case actReport:
			r.Jobs[e.Data.(*Report).Job].reported = true
		case actListen:
			r.listened = e.Time
			if took, _ := e.With.(time.Duration); took > lateListening {
				s.ears.strain(e.Time)
			}
		case actLose:
			s.lose(flow, e.With.([]string), e.Time)
		case actAbandon:
			s.abandon(flow, e.With.([]string), e.Time)
		case actDoubt:
			s.ears.strain(e.Time)
			s.ears.link = false
		}
	})
	return []string{flow}
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
	r := &run{Since: e.Time, Trace: e.TraceParent, Jobs: map[string]*job{}, FailedStarts: map[string]int{}}
	if d.Flow.Deadline > 0 {
		r.Deadline = e.Time.Add(d.Flow.Deadline.D())
	}
	r.Clients = s.early.take(e.Subject, e.Time, s.ears.deaf)
	s.runs[e.Subject] = r
	if c := s.takeCancel(e.Subject); c != nil {
		r.Cancel, r.CancelledFirst, r.Ending = c, true, e.Time
	}
}

// end removes a run that has its verdict.
func (s *State) end(e contract.Event) []string {
	r := s.runs[e.Subject]
	if r == nil {
		return nil
	}
	for _, j := range r.Jobs {
		if j.State == contract.JobRunning {
			s.leave(e.Subject, j)
		}
	}
	for mailbox := range r.FailedStarts {
		if s.failing[mailbox]--; s.failing[mailbox] == 0 {
			delete(s.failing, mailbox)
		}
	}
	delete(s.runs, e.Subject)
	return nil
}

func (s *State) plan(flow string, d *contract.FlowPlanned) {
	s.with(flow, func(r *run) {
		if r.Planned {
			return
		}
		r.Planned = true
		r.Deadline, r.Edges, r.Open, r.Panics = d.Deadline, d.Edges, len(d.Jobs), d.Panics
		r.Stream = d.Stream
		_, last := r.stopSubjects(flow)
		for _, j := range d.Jobs {
			r.Jobs[j.Job] = &job{
				JobSummary: contract.JobSummary{State: contract.JobWaiting},
				Progdef:    j.Progdef, Revision: j.Revision,
				Health:    d.Progdefs[j.Progdef].Document.Health,
				Reporting: j.Stop == last,
			}
		}
	})
}

func (r *run) beginEnding(now time.Time) {
	if r.Ending.IsZero() {
		r.Ending = now
	}
}

func (r *run) job(name string) *job {
	if j := r.Jobs[name]; j != nil && !j.ended() {
		return j
	}
	return nil
}

func (s *State) executor(id string) *executor {
	x := s.executors[id]
	if x == nil && s.exits.known[id] != nil {
		return &executor{flows: make(map[string]int)} // it has exited: nothing is stored about it
	}
	if x == nil {
		x = &executor{flows: make(map[string]int)}
		s.executors[id] = x
	}
	return x
}

func (s *State) jobStarted(e contract.Event, d *contract.JobStarted) {
	s.with(e.Subject, func(r *run) {
		j := r.job(d.Job)
		if j == nil || j.State != contract.JobWaiting {
			return
		}
		j.State, j.Executor, j.Heard = contract.JobRunning, d.Executor, later(e.Time, s.ears.again)
		j.pulse = pulse{deaf: s.ears.deaf}
		x := s.executor(d.Executor)
		x.Proved = true
		if exit := s.exits.known[d.Executor]; exit != nil {
			s.fail(e.Subject, r, d.Job, j, crash(exit), contract.PortCounts{}, e.Time)
			return
		}
		x.flows[e.Subject]++
		s.forgiveStarts(j.mailbox())
	})
}

// forgiveStarts resets the failed starts of a mailbox once one of its executors has started a job.
func (s *State) forgiveStarts(mailbox string) {
	if s.failing[mailbox] == 0 {
		return
	}
	delete(s.failing, mailbox)
	for _, r := range s.runs {
		delete(r.FailedStarts, mailbox)
	}
}

// owned returns the job if the executor started it. An event about a live job from another executor is answered with
// a dead letter.
func (s *State) owned(e contract.Event, r *run, name, executor string) *job {
	j := r.job(name)
	switch {
	case j == nil || j.Executor == executor && j.State == contract.JobRunning:
		return j
	case j.Executor == "":
		s.unanswered(e, fmt.Sprintf("executor %q reported the end of job %s of flow %s, which no executor has started",
			executor, name, e.Subject))
	default:
		s.unanswered(e, fmt.Sprintf("executor %q reported the end of job %s of flow %s, which executor %s started",
			executor, name, e.Subject, j.Executor))
	}
	return nil
}

func (s *State) unanswered(e contract.Event, why string) {
	s.unanswerable[e.Seq] = unanswerable{Subject: string(e.Type), Source: e.Source, ID: e.ID, Why: why}
}

func (s *State) jobDone(e contract.Event, d *contract.JobDone) []string {
	s.with(e.Subject, func(r *run) {
		j := s.owned(e, r, d.Job, d.Executor)
		switch {
		case j == nil:
		case d.Stopped && !r.ends(e.Time):
			s.fail(e.Subject, r, d.Job, j, edgesGone(), d.PortCounts, e.Time)
		case d.Stopped:
			s.close(e.Subject, r, j, contract.JobStopped, d.PortCounts)
		default:
			s.close(e.Subject, r, j, contract.JobEnded, d.PortCounts)
		}
	})
	return []string{e.Subject, keyUnanswerable}
}

// edgesGone is the failure of a job that found its flow stopped although the flow was not stopped: a broker that stores
// edges in memory was restarted, or the stream was deleted.
func edgesGone() contract.Failure {
	return contract.Failure{
		Kind:    contract.KindProtocol,
		Message: "the flow's edges are lost: their stream was deleted, or was stored in memory by a server that restarted",
	}
}

func (s *State) jobPanicked(e contract.Event, d *contract.JobPanic) []string {
	s.with(e.Subject, func(r *run) {
		if j := s.owned(e, r, d.Job, d.Executor); j != nil {
			s.fail(e.Subject, r, d.Job, j, d.Failure, d.PortCounts, e.Time)
		}
	})
	return []string{e.Subject, keyUnanswerable}
}

// close ends a job.
func (s *State) close(flow string, r *run, j *job, state contract.JobState, ports contract.PortCounts) {
	if j.State == contract.JobRunning {
		s.leave(flow, j)
	}
	j.State, j.Ports = state, ports
	r.Open--
}

// leave records that an executor no longer runs a job.
func (s *State) leave(flow string, j *job) {
	x := s.executors[j.Executor]
	if x == nil {
		return
	}
	if x.flows[flow]--; x.flows[flow] <= 0 {
		delete(x.flows, flow)
	}
	if !x.Known && len(x.flows) == 0 {
		delete(s.executors, j.Executor) // the spawner has not started it: no further events
	}
}

func (s *State) fail(
	flow string, r *run, name string, j *job, f contract.Failure, ports contract.PortCounts, now time.Time,
) {
	s.close(flow, r, j, contract.JobPanicked, ports)
	j.Failure = &contract.JobFailure{Job: name, Progdef: j.Progdef, Executor: j.Executor, Failure: f}
	r.Failures = append(r.Failures, *j.Failure)
	r.beginEnding(now)
}

func (s *State) executorExited(e contract.Event, d *contract.ExecutorExited) (keys []string) {
	x := s.executors[d.Executor]
	s.exits.add(d)
	delete(s.executors, d.Executor)
	if x == nil {
		return nil // it was not started, or has already exited
	}
	for flow := range x.flows {
		keys = append(keys, flow)
		s.with(flow, func(r *run) {
			for name, j := range r.sorted() {
				if j.State == contract.JobRunning && j.Executor == d.Executor {
					s.fail(flow, r, name, j, crash(d), contract.PortCounts{}, e.Time)
				}
			}
		})
	}
	if !x.Proved {
		keys = append(keys, s.startFailed(d, e.Time)...)
	}
	return keys
}

// crash returns the failure of a job whose process exited without reporting it.
func crash(d *contract.ExecutorExited) contract.Failure {
	return contract.Failure{
		Kind:    contract.KindCrash,
		Message: fmt.Sprintf("executor %s %s while the job was running%s", d.Executor, d.Way(), strings.TrimPrefix(d.Ending(), d.Way())),
		Detail:  d.Detail,
	}
}

// startFailed counts an executor that exited before it started a job. After Limits.StartAttempts of them, the waiting
// jobs of its mailbox panic.
func (s *State) startFailed(d *contract.ExecutorExited, now time.Time) (flows []string) {
	mailbox := contract.Mailbox(d.Progdef, d.Revision)
	for flow, r := range s.runs {
		if !r.Spawned || !r.waitsFor(mailbox) {
			continue
		}
		if r.FailedStarts[mailbox] == 0 {
			s.failing[mailbox]++
		}
		if r.FailedStarts[mailbox]++; r.FailedStarts[mailbox] < s.limits.StartAttempts && !d.Permanent {
			continue
		}
		flows = append(flows, flow)
		for name, j := range r.sorted() {
			if j.State == contract.JobWaiting && j.mailbox() == mailbox {
				s.fail(flow, r, name, j, neverStarted(d, r.FailedStarts[mailbox]), contract.PortCounts{}, now)
			}
		}
	}
	return flows
}

func neverStarted(d *contract.ExecutorExited, times int) contract.Failure {
	f := contract.Failure{Kind: contract.KindCrash, Detail: d.Detail}
	if f.Message = "executors of " + d.Progdef + " cannot run: " + d.Reason; !d.Permanent {
		f.Message = fmt.Sprintf("%d executors of %s in a row exited before they started a job; the last one %s",
			times, d.Progdef, d.Ending())
	}
	return f
}

func (r *run) waitsFor(mailbox string) bool {
	for _, j := range r.Jobs {
		if j.State == contract.JobWaiting && j.mailbox() == mailbox {
			return true
		}
	}
	return false
}
