package spawner

import (
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// Evolve returns the state after an event. It changes s in place.
func Evolve(s State, e contract.Event) State {
	if e.EndsFlow() {
		s.end(e.Subject, e.Time)
		return s
	}
	switch d := e.Data.(type) {
	case *contract.ProgdefApplied:
		s.makeCurrent(d.Name, progdef.Pinned{Revision: d.Revision, Document: d.Document})
	case *contract.ProgdefRemoved:
		s.noLongerCurrent(d.Name)
	case *contract.FlowPlanned:
		s.enqueue(e, d)
	case *contract.FlowSpawned:
		s.grant(e.Subject)
	case *contract.FlowCleaned:
		delete(s.over, e.Subject)
	case *contract.JobStarted:
		s.jobStarted(e.Subject, d, e.Time)
	case *contract.JobDone:
		s.jobEnded(e.Subject, d.Job, e.Time)
	case *contract.JobPanic:
		s.jobEnded(e.Subject, d.Job, e.Time)
	case *contract.ExecutorStarted:
		s.executorStarted(d, e.Time)
	case *contract.ExecutorDraining:
		if x := s.executors[d.Executor]; x != nil {
			x.draining, x.since = true, e.Time
		}
	case *contract.ExecutorExited:
		s.executorExited(d, e.Time)
	}
	return s
}

func (s *State) enqueue(e contract.Event, d *contract.FlowPlanned) {
	flow := e.Subject
	if s.runs[flow] != nil || s.over[flow] {
		return
	}
	r := &run{trace: e.TraceParent, jobs: d.Jobs, need: make(map[string]int), state: make(map[string]*job)}
	for name, p := range d.Progdefs {
		s.revision(name, p)
	}
	for _, j := range d.Jobs {
		mailbox := contract.Mailbox(j.Progdef, j.Revision)
		r.need[mailbox]++
		r.state[j.Job] = &job{mailbox: mailbox}
	}
	s.runs[flow] = r
	s.queue = append(s.queue, flow)
}

// grant gives every job of the flow a slot.
func (s *State) grant(flow string) {
	r := s.runs[flow]
	if r == nil || r.granted {
		return
	}
	r.granted, r.jobs = true, nil
	s.dequeue(flow)
	for _, j := range r.state {
		if !j.over {
			s.hold(j)
		}
	}
}

func (s *State) dequeue(flow string) {
	if i := slices.Index(s.queue, flow); i >= 0 {
		s.queue = slices.Delete(s.queue, i, i+1)
	}
}

func (s *State) hold(j *job) {
	if !j.holds {
		j.holds = true
		s.revisions[j.mailbox].used++
	}
}

func (s *State) free(j *job) {
	if !j.holds {
		return
	}
	j.holds = false
	s.revisions[j.mailbox].used--
}

// end takes back the slots of the flow's unclaimed jobs. A running job keeps its slot until it has
// gone: whoever ignores the stop still occupies its executor.
func (s *State) end(flow string, now time.Time) {
	r := s.runs[flow]
	if r == nil {
		s.over[flow] = true
		return
	}
	s.dequeue(flow)
	r.ended, r.endedAt, r.jobs = true, now, nil
	for _, j := range r.state {
		if j.executor == "" {
			s.free(j)
		}
	}
	s.retire(flow, r)
}

// retire forgets an ended flow once none of its jobs runs.
func (s *State) retire(flow string, r *run) {
	if !r.ended {
		return
	}
	for _, j := range r.state {
		if j.executor != "" {
			return
		}
	}
	delete(s.runs, flow)
	for mailbox := range r.need {
		s.forget(mailbox)
	}
}

// jobStarted gives the job to its executor. The executor may be too quick for us and say it before
// executor.started is published; and it may be dead already, if its death was heard first: then the job
// is lost, and holds nothing.
func (s *State) jobStarted(flow string, d *contract.JobStarted, now time.Time) {
	r := s.runs[flow]
	if r == nil || r.state[d.Job] == nil {
		s.prove(d.Executor)
		return
	}
	j := r.state[d.Job]
	if s.gone.known[d.Executor] {
		s.free(j)
		s.retire(flow, r)
		return
	}
	s.addExecutor(d.Executor, j.mailbox, now)
	s.prove(d.Executor)
	j.executor = d.Executor
	s.hold(j)
	s.executors[d.Executor].jobs++
}

// prove notes that an executor can start jobs: its kind is not broken.
func (s *State) prove(executor string) {
	x := s.executors[executor]
	if x == nil {
		return
	}
	x.proved = true
	if r := s.revisions[x.mailbox]; r != nil {
		r.failures, r.until = 0, time.Time{}
		r.refusals, r.spare = 0, time.Time{}
	}
}

func (s *State) jobEnded(flow, name string, now time.Time) {
	r := s.runs[flow]
	if r == nil || r.state[name] == nil {
		return
	}
	j := r.state[name]
	if x := s.executors[j.executor]; x != nil {
		if x.jobs--; x.jobs == 0 {
			x.idle = now
		}
	}
	j.executor, j.over = "", true
	s.free(j)
	s.retire(flow, r)
}

func (s *State) executorStarted(d *contract.ExecutorStarted, now time.Time) {
	if !s.gone.known[d.Executor] {
		s.addExecutor(d.Executor, contract.Mailbox(d.Progdef, d.Revision), now)
		s.executors[d.Executor].said = true
	}
}

func (s *State) addExecutor(id, mailbox string, now time.Time) {
	if s.executors[id] == nil {
		s.executors[id] = &executor{mailbox: mailbox, idle: now}
		s.last[mailbox] = max(s.last[mailbox], executorNumber(id))
	}
}

func (s *State) executorExited(d *contract.ExecutorExited, now time.Time) {
	s.gone.add(d.Executor)
	mailbox := contract.Mailbox(d.Progdef, d.Revision)
	s.last[mailbox] = max(s.last[mailbox], executorNumber(d.Executor))
	x := s.executors[d.Executor]
	if x == nil {
		return
	}
	delete(s.executors, d.Executor)
	if r := s.revisions[x.mailbox]; r != nil && !x.proved && !x.draining {
		if d.Permanent { // what can never start fails its flow at once, each time
			r.refusals++
			r.spare = now.Add(backOff(r.refusals))
		} else {
			r.failures++
		}
		r.until = now.Add(backOff(max(r.failures, 1)))
	}
	for flow, r := range s.runs {
		for _, j := range r.state {
			if j.executor == d.Executor {
				j.executor = ""
				s.free(j)
			}
		}
		s.retire(flow, r)
	}
	s.forget(x.mailbox)
}

// backOff is how long to wait after that many failed starts in a row: 250 ms, doubling to 30 s.
func backOff(failures int) time.Duration {
	return min(250*time.Millisecond<<min(failures-1, 7), 30*time.Second)
}
