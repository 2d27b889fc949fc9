package spawner

import (
	"maps"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// What is decided: who gets capacity, and which executors stay.
const (
	keyAdmit = "admit"
	keyTend  = "tend"
)

var (
	bothKeys = []string{keyAdmit, keyTend}
	admitKey = []string{keyAdmit}
	tendKey  = []string{keyTend}
)

// Evolve folds an event or fact.
func Evolve(s *State, e contract.Event) []string {
	s.seq = max(s.seq, e.Seq)
	if e.EndsFlow() {
		s.end(e.Subject, e.Time)
		return bothKeys
	}
	switch d := e.Data.(type) {
	case *contract.ProgdefApplied:
		s.makeCurrent(d.Name, progdef.Pinned{Revision: d.Revision, Document: d.Document})
		return bothKeys
	case *contract.ProgdefRemoved:
		s.noLongerCurrent(d.Name)
		return bothKeys
	case *contract.FlowPlanned:
		s.enqueue(e, d)
		return admitKey
	case *contract.FlowQueued:
		s.queued(e, d)
	case *contract.FlowSpawned:
		s.grant(e.Subject)
	case *contract.JobStarted:
		s.jobStarted(e.Subject, d, e.Time)
	case *contract.JobDone:
		s.jobEnded(e.Subject, d.Job, d.Executor, e.Time)
		return bothKeys
	case *contract.JobPanic:
		s.jobEnded(e.Subject, d.Job, d.Executor, e.Time)
		return bothKeys
	case *contract.ExecutorStarted:
		s.executorStarted(d, e.Time)
		return tendKey
	case *contract.ExecutorDraining:
		if x := s.executors[d.Executor]; x != nil && !x.Draining {
			x.Draining, x.Since = true, e.Time
		}
		return bothKeys
	case *contract.ExecutorExited:
		s.executorExited(d, e.Time)
		return bothKeys
	default:
		return s.other(e)
	}
	return nil
}

// other folds what has no payload that matters.
func (s *State) other(e contract.Event) []string {
	switch e.Type {
	case contract.TypeFlowValidated:
		if s.runs[e.Subject] == nil {
			s.valid[e.Subject] = struct{}{}
		}
	case contract.TypeFlowCleaned:
		delete(s.valid, e.Subject)
	case factRunning:
		return s.running(e.With.(map[string]string))
	case actGiveUp:
		if x := s.executors[e.Subject]; x != nil {
			x.givenUp = true
		}
	}
	return nil
}

// running takes in why executors cannot run yet. A flow whose executors run again is told when they do not once
// more.
func (s *State) running(waiting map[string]string) []string {
	if maps.Equal(s.waiting, waiting) {
		return nil
	}
	s.waiting = waiting
	for _, r := range s.runs {
		if r.Told.Place == 0 && !r.Told.At.IsZero() && len(s.stalled(r, waiting)) == 0 {
			r.Told = told{}
		}
	}
	return admitKey
}

func (s *State) enqueue(e contract.Event, d *contract.FlowPlanned) {
	flow := e.Subject
	if _, valid := s.valid[flow]; !valid {
		return // it is planned or has ended already, or was never valid
	}
	delete(s.valid, flow)
	r := &run{Trace: e.TraceParent, Jobs: d.Jobs, State: make(map[string]*job)}
	for name, p := range d.Progdefs {
		s.revision(name, p)
	}
	for _, j := range d.Jobs {
		r.State[j.Job] = &job{Mailbox: contract.Mailbox(j.Progdef, j.Revision)}
	}
	r.count()
	s.runs[flow] = r
	s.queue = append(s.queue, flow)
}

// count counts the jobs of each mailbox.
func (r *run) count() {
	r.need = make(map[string]int)
	for _, j := range r.State {
		r.need[j.Mailbox]++
	}
}

func (s *State) queued(e contract.Event, d *contract.FlowQueued) {
	if r := s.runs[e.Subject]; r != nil {
		r.Told = told{Place: d.Place, Why: digest(d.Shortage), At: e.Time}
	}
}

// grant gives every job of the flow a slot.
func (s *State) grant(flow string) {
	r := s.runs[flow]
	if r == nil || r.Granted || !r.Ended.IsZero() {
		return
	}
	r.Granted, r.Jobs = true, nil
	s.dequeue(flow)
	for _, j := range r.State {
		if !j.Over {
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
	if r := s.revisions[j.Mailbox]; r != nil && !j.Holds {
		j.Holds = true
		r.used++
	}
}

func (s *State) free(j *job) {
	if !j.Holds {
		return
	}
	j.Holds = false
	s.revisions[j.Mailbox].used--
}

// end takes back the slots of the flow's unclaimed jobs. A running job keeps its slot until it has
// gone: one that ignores the stop still occupies its executor.
func (s *State) end(flow string, now time.Time) {
	delete(s.valid, flow)
	r := s.runs[flow]
	if r == nil || !r.Ended.IsZero() {
		return
	}
	s.dequeue(flow)
	r.Ended, r.Jobs = now, nil
	s.ended[flow] = r
	for _, j := range r.State {
		if j.Executor == "" {
			s.free(j)
		}
	}
	s.retire(flow, r)
}

// retire forgets an ended flow once none of its jobs runs.
func (s *State) retire(flow string, r *run) {
	if r.Ended.IsZero() {
		return
	}
	for _, j := range r.State {
		if j.Executor != "" {
			return
		}
	}
	delete(s.runs, flow)
	delete(s.ended, flow)
	for mailbox := range r.need {
		s.forget(mailbox)
	}
}

// jobStarted gives the job to its executor. The executor may be too quick for us and publish it before
// executor.started is stored; and it may be dead already, if its exit was stored first: then the job
// is lost, and holds nothing.
func (s *State) jobStarted(flow string, d *contract.JobStarted, now time.Time) {
	r := s.runs[flow]
	if r == nil || r.State[d.Job] == nil {
		s.prove(d.Executor)
		return
	}
	j := r.State[d.Job]
	j.Started = true
	switch {
	case j.Over || j.Executor != "":
		return // it was started before
	case s.gone.known[d.Executor]:
		s.free(j)
		s.retire(flow, r)
		return
	}
	s.addExecutor(d.Executor, j.Mailbox, now)
	s.prove(d.Executor)
	s.hold(j)
	s.executors[d.Executor].takes(flow, j, d.Executor)
}

// takes notes that the executor runs a job of a flow.
func (x *executor) takes(flow string, j *job, id string) {
	if x.flows == nil {
		x.flows = make(map[string]int)
	}
	j.Executor = id
	x.jobs++
	x.flows[flow]++
}

// loses notes that the executor no longer runs a job of a flow.
func (x *executor) loses(flow string, now time.Time) {
	if x.flows[flow]--; x.flows[flow] <= 0 {
		delete(x.flows, flow)
	}
	if x.jobs--; x.jobs == 0 {
		x.Idle = now
	}
}

// prove notes that an executor can start jobs: its kind is not broken.
func (s *State) prove(executor string) {
	x := s.executors[executor]
	if x == nil {
		return
	}
	x.Proved = true
	if r := s.revisions[x.Mailbox]; r != nil {
		r.Failures, r.Until, r.Last = 0, time.Time{}, nil
		r.Refusals, r.Spare = 0, time.Time{}
	}
}

// jobEnded takes back the job's slot. Only the executor that has started a job can say that it has ended.
func (s *State) jobEnded(flow, name, executor string, now time.Time) {
	r := s.runs[flow]
	if r == nil || r.State[name] == nil || r.State[name].Executor != executor {
		return
	}
	j := r.State[name]
	if x := s.executors[j.Executor]; x != nil {
		x.loses(flow, now)
	}
	j.Executor, j.Over = "", true
	s.free(j)
	s.retire(flow, r)
}

func (s *State) executorStarted(d *contract.ExecutorStarted, now time.Time) {
	if !s.gone.known[d.Executor] {
		s.addExecutor(d.Executor, contract.Mailbox(d.Progdef, d.Revision), now)
	}
}

func (s *State) addExecutor(id, mailbox string, now time.Time) {
	if s.executors[id] == nil {
		s.executors[id] = &executor{Mailbox: mailbox, Idle: now}
	}
}

func (s *State) executorExited(d *contract.ExecutorExited, now time.Time) {
	s.gone.add(d.Executor)
	x := s.executors[d.Executor]
	if x == nil {
		return
	}
	delete(s.executors, d.Executor)
	if r := s.revisions[x.Mailbox]; r != nil && !x.Proved && !x.Draining {
		if d.Permanent { // what can never start fails its flow at once, each time
			r.Refusals++
			r.Spare = now.Add(backOff(r.Refusals))
		} else {
			r.Failures++
		}
		r.Until, r.Last = now.Add(backOff(max(r.Failures, 1))), d
	}
	for flow := range x.flows {
		s.loseJobs(flow, d.Executor)
	}
	s.forget(x.Mailbox)
}

// loseJobs takes back the slots of the jobs that an executor has taken with it.
func (s *State) loseJobs(flow, executor string) {
	r := s.runs[flow]
	if r == nil {
		return
	}
	for _, j := range r.State {
		if j.Executor == executor {
			j.Executor, j.Over = "", true
			s.free(j)
		}
	}
	s.retire(flow, r)
}

// backOff is how long to wait after that many failed starts in a row: 250 ms, doubling to 30 s.
func backOff(failures int) time.Duration {
	return min(250*time.Millisecond<<min(failures-1, 7), 30*time.Second)
}
