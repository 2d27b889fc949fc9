package aggregator

import (
	"container/list"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
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
	if entry, _ := contract.Lookup(e.Type); entry.Of == contract.OfWebhook {
		return s.hooks.fold(e)
	}
	switch d := e.Data.(type) {
	case *contract.FlowValidated:
		s.begin(e, d)
		return []string{e.Subject, keyUnanswerable}
	case *contract.FlowPlanned:
		s.plan(e, d)
	case *contract.FlowSpawned:
		s.with(e.Subject, func(r *run) { s.spawn(r, e.Time) })
	case *contract.FlowStalled:
		s.stalled(e, d)
	case *contract.FlowCancel:
		return s.askCancel(e, d)
	case *contract.FlowCleaned:
		return []string{keyHistory}
	case *contract.JobStarted:
		return s.jobStarted(e, d)
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
	case factChecked:
		s.checked(e.With.(int))
		return nil
	case factTraffic:
		return s.measured(e.With.([]Traffic), e.Time)
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
	r := &run{Since: e.Time, Owner: d.Owner, Trace: e.Trace, flow: e.Subject, Jobs: map[string]*job{}}
	if d.Flow.Deadline > 0 {
		r.Deadline = e.Time.Add(d.Flow.Deadline.D())
	}
	r.Clients = s.early.take(e.Subject, d.Owner, e.Time, s.ears.deaf)
	for _, c := range r.Clients {
		c.run = r
		s.alive(c)
	}
	s.runs[e.Subject] = r
	for _, c := range s.cancels.take(e.Subject) {
		s.cancel(r, c, e.Time)
	}
}

// end removes a run that has its verdict.
func (s *State) end(e contract.Event) []string {
	r := s.runs[e.Subject]
	if r == nil {
		return nil
	}
	s.unindex(r)
	delete(s.runs, e.Subject)
	return nil
}

func (s *State) plan(e contract.Event, d *contract.FlowPlanned) {
	s.with(e.Subject, func(r *run) {
		if r.Planned {
			return
		}
		r.Planned, r.PlannedAt = true, e.Time
		r.Deadline, r.Open, r.Panics = d.Deadline, len(d.Jobs), d.Panics
		r.Edges = make([]edge, len(d.Edges))
		for i, e := range d.Edges {
			r.Edges[i] = edge{e.From, e.To, e.Const}
		}
		r.Stream = d.Stream
		r.room = roomOf(d)
		_, last := r.stopSubjects(e.Subject)
		for _, j := range d.Jobs {
			r.Jobs[j.Job] = &job{
				JobSummary: contract.JobSummary{State: contract.JobWaiting},
				Progdef:    j.Progdef, Revision: j.Revision,
				Health:    d.Progdefs[j.Progdef].Document.Health,
				Reporting: j.Stop == last,
				run:       r, name: j.Job,
			}
		}
	})
}

// roomOf returns the room of each edge of a flow: it is the same for all.
func roomOf(d *contract.FlowPlanned) (x room) {
	for _, j := range d.Jobs {
		for _, ends := range []map[string]contract.Address{j.Inputs, j.Outputs} {
			for _, a := range ends {
				x = room{Window: max(x.Window, a.Window), Frames: max(x.Frames, a.Frames), Slots: max(x.Slots, a.Slots)}
			}
		}
	}
	x.Salt = d.Salt()
	return x
}

// spawn puts the jobs of a planned run on their mailboxes.
func (s *State) spawn(r *run, now time.Time) {
	r.Spawned, r.Waiting = r.Planned, now
	if !r.Spawned {
		return
	}
	s.watchTraffic(r, traffic{since: now})
	for _, j := range r.sorted() {
		if j.State == contract.JobWaiting && j.waits == nil {
			s.wait(j, 0)
		}
	}
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
		return new(executor) // it has exited: nothing is stored about it
	}
	if x == nil {
		x = new(executor)
		s.executors[id] = x
	}
	return x
}

func (s *State) jobStarted(e contract.Event, d *contract.JobStarted) []string {
	if x := s.executors[d.Executor]; x != nil {
		x.Proved = true // also by a job of a flow that has ended
	}
	s.with(e.Subject, func(r *run) {
		j := r.job(d.Job)
		switch {
		case j == nil:
			return
		case !e.From(j.Progdef, j.Revision):
			s.notYours(e, fmt.Sprintf("executor %q of mailbox %s started job %s of flow %s, which is for executors of mailbox %s",
				d.Executor, e.Mailbox, d.Job, e.Subject, contract.MailboxConsumer(j.Progdef, j.Revision)))
			return
		case j.State != contract.JobWaiting: // one of the two executors is of the previous version
			if j.Executor != d.Executor {
				s.notYours(e, fmt.Sprintf("executor %q started job %s of flow %s, which executor %s had started",
					d.Executor, d.Job, e.Subject, j.Executor))
			}
			return
		}
		j.State, j.Executor, j.Began = contract.JobRunning, d.Executor, e.Time
		j.Heard = later(e.Time, s.ears.again)
		j.pulse = pulse{deaf: s.ears.deaf}
		s.claimed(j)
		s.moved(r, e.Time)
		x := s.executor(d.Executor)
		x.Proved = true
		s.hold(x, j)
		if exit := s.exits.known[d.Executor]; exit != nil {
			s.fail(j, crash(exit), contract.PortCounts{}, e.Time)
		} else if m := s.mailboxes[j.mailbox()]; m != nil {
			m.forgiven = m.failed
		}
	})
	return []string{e.Subject, keyUnanswerable}
}

// owned returns the job if the executor started it. An event about a live job from another executor is answered with
// a dead letter.
func (s *State) owned(e contract.Event, r *run, name, executor string) *job {
	j := r.job(name)
	switch {
	case j == nil || j.Executor == executor && j.State == contract.JobRunning:
		return j
	case j.Executor == "":
		s.notYours(e, fmt.Sprintf("executor %q reported the end of job %s of flow %s, which no executor has started",
			executor, name, e.Subject))
	default:
		s.notYours(e, fmt.Sprintf("executor %q reported the end of job %s of flow %s, which executor %s started",
			executor, name, e.Subject, j.Executor))
	}
	return nil
}

func (s *State) notYours(e contract.Event, why string) {
	s.unanswerable.add(e.Seq, unanswerable{Subject: string(e.Type), Code: problem.NotYours, Why: why})
}

func (s *State) jobDone(e contract.Event, d *contract.JobDone) []string {
	s.with(e.Subject, func(r *run) {
		j := s.owned(e, r, d.Job, d.Executor)
		switch {
		case j == nil:
		case d.Stopped && !r.ends(e.Time):
			s.fail(j, edgesGone(), d.PortCounts, e.Time)
		case d.Stopped:
			s.close(j, contract.JobStopped, d.PortCounts, e.Time)
		default:
			s.close(j, contract.JobEnded, d.PortCounts, e.Time)
			s.moved(r, e.Time)
		}
	})
	return []string{e.Subject, keyUnanswerable}
}

// edgesGone is the failure of a job that found its flow stopped although the flow was not stopped: a broker that stores
// edges in memory was restarted, or the stream was deleted.
func edgesGone() contract.Failure {
	return contract.Failure{
		Kind:    contract.KindLostEdges,
		Message: "the flow's edges are lost: their stream was deleted, or was stored in memory by a server that restarted",
	}
}

func (s *State) jobPanicked(e contract.Event, d *contract.JobPanic) []string {
	s.with(e.Subject, func(r *run) {
		if j := s.owned(e, r, d.Job, d.Executor); j != nil {
			s.fail(j, d.Failure, d.PortCounts, e.Time)
		}
	})
	return []string{e.Subject, keyUnanswerable}
}

// close ends a job.
func (s *State) close(j *job, state contract.JobState, ports contract.PortCounts, now time.Time) {
	s.claimed(j)
	s.living.remove(j)
	if j.State == contract.JobRunning {
		s.leave(j)
	}
	j.State, j.Ports, j.Over = state, ports, now
	j.run.Open--
}

// leave records that an executor no longer runs a job.
func (s *State) leave(j *job) {
	s.running--
	x := s.executors[j.Executor]
	if x == nil {
		return
	}
	if i := slices.Index(x.jobs, j); i >= 0 {
		x.jobs = slices.Delete(x.jobs, i, i+1)
	}
	if !x.Known && len(x.jobs) == 0 {
		delete(s.executors, j.Executor) // the spawner has not started it: no further events
	}
}

func (s *State) fail(j *job, f contract.Failure, ports contract.PortCounts, now time.Time) {
	s.close(j, contract.JobPanicked, ports, now)
	j.Failure = &contract.JobFailure{Job: j.name, Progdef: j.Progdef, Executor: j.Executor, Failure: f}
	j.run.Failures = append(j.run.Failures, *j.Failure)
	j.run.beginEnding(now)
}

func (s *State) executorExited(e contract.Event, d *contract.ExecutorExited) (keys []string) {
	x := s.executors[d.Executor]
	s.exits.add(d)
	delete(s.executors, d.Executor)
	if x == nil {
		return nil // it was not started, or has already exited
	}
	slices.SortFunc(x.jobs, byName) // the same events give the same verdict
	for _, j := range x.jobs {
		keys = append(keys, j.run.flow)
		s.fail(j, crash(d), contract.PortCounts{}, e.Time)
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
	m := s.mailboxes[contract.Mailbox(d.Progdef, d.Revision)]
	if m == nil {
		return nil
	}
	m.failed++
	for e, next := m.jobs.Front(), (*list.Element)(nil); e != nil; e = next {
		next = e.Next()
		j := e.Value.(*job)
		times := m.failures(j)
		if times < s.limits.StartAttempts && !d.Permanent {
			break // those behind it have not waited longer
		}
		flows = append(flows, j.run.flow)
		s.fail(j, neverStarted(d, times), contract.PortCounts{}, now)
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
