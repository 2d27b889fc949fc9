package spawner

import (
	"maps"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/admission"
	"github.com/dagyo/dagyo/services/spawner/places"
)

// What is decided: who gets capacity and what the others are told, which executors of a mailbox stay, and whether a
// flow may go on waiting.
const (
	keyAdmit = "admit"
	keyTell  = "tell"
	keyTend  = "tend "
	keyFlow  = "flow "
)

var capacityKeys = []string{keyAdmit, keyTell}

// changed returns the keys to decide when the capacity of a mailbox has changed.
func changed(mailbox string) []string { return []string{keyAdmit, keyTend + mailbox, keyTell} }

// Evolve folds an event or fact.
func Evolve(s *State, e contract.Event) []string {
	s.seq = max(s.seq, e.Seq)
	keys := evolve(s, e)
	if slices.Contains(keys, keyTell) {
		s.changes++
	}
	return keys
}

func evolve(s *State, e contract.Event) []string {
	if e.EndsFlow() {
		return s.end(e.Subject, e.Time)
	}
	switch d := e.Data.(type) {
	case *contract.ProgdefApplied:
		if d.Document.Flow != nil { // nothing of it runs under its name
			keys := s.revisionKeys(d.Name)
			s.noLongerCurrent(d.Name)
			return keys
		}
		r := s.makeCurrent(d.Name, progdef.Pinned{Revision: d.Revision, Document: d.Document})
		r.forgive() // who applies it may have mended what its executors failed of
		return s.revisionKeys(d.Name)
	case *contract.ProgdefRemoved:
		keys := s.revisionKeys(d.Name)
		s.noLongerCurrent(d.Name)
		return keys
	case *contract.FlowPlanned:
		return s.enqueue(e, d)
	case *contract.FlowQueued:
		s.queued(e, d)
	case *contract.FlowSpawned:
		if r := s.runs[e.Subject]; r != nil {
			s.grant(e.Subject, r, e.Time)
			r.Granted, r.Jobs, r.Told = true, nil, told{}
		}
		return []string{keyTell}
	case *contract.JobStarted:
		return s.jobStarted(e, d)
	case *contract.JobDone:
		return s.jobEnded(e.Subject, d.Job, d.Executor, e.Time)
	case *contract.JobPanic:
		return s.jobEnded(e.Subject, d.Job, d.Executor, e.Time)
	case *contract.ExecutorStarted:
		mailbox := contract.Mailbox(d.Progdef, d.Revision)
		if !s.gone.known[d.Executor] {
			s.executor(d.Executor, mailbox, e.Time)
		}
		return []string{keyTend + mailbox}
	case *contract.ExecutorDraining:
		return s.executorDraining(d.Executor, e.Time)
	case *contract.ExecutorExited:
		return s.executorExited(d, e.Time)
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
			d, _ := e.Data.(*contract.FlowValidated)
			s.valid[e.Subject] = submitter(d)
		}
	case contract.TypeFlowCleaned:
		delete(s.valid, e.Subject)
	case factRunning:
		return s.running(e.With.(map[string]string))
	case actGiveUp:
		if x := s.executors[e.Subject]; x != nil {
			x.givenUp = true
		}
	case actClaim:
		s.sharing.claimed, s.sharing.known = e.With.(places.Claim), true
	case factPlaces:
		s.sharing.granted = e.With.(places.Grant)
		return slices.Clone(capacityKeys)
	case actCheck:
		s.checked, s.check = e.Time, e.With.(check)
	}
	return nil
}

// submitter returns the user who submitted a flow, "" if it is not known.
func submitter(d *contract.FlowValidated) string {
	if d == nil {
		return ""
	}
	return d.Owner
}

// revisionKeys returns the keys to decide when the catalogue names another revision of a progdef or another scaling, or
// none.
func (s *State) revisionKeys(name string) []string {
	keys := slices.Clone(capacityKeys)
	if r := s.current[name]; r != nil {
		for _, f := range s.queue.Line(&r.pool) {
			if len(s.never(f)) > 0 {
				keys = append(keys, keyFlow+f.ID)
			}
		}
	}
	for mailbox := range s.serving {
		if of, _ := contract.SplitMailbox(mailbox); of == name {
			keys = append(keys, keyTend+mailbox)
		}
	}
	return keys
}

// running takes in why executors cannot run yet. A flow whose executors run again is told when they do not once
// more.
func (s *State) running(waiting map[string]string) []string {
	if maps.Equal(s.waiting, waiting) {
		return nil
	}
	s.waiting = waiting
	for flow, r := range s.stalled {
		if len(s.shortOfExecutors(flow, r)) == 0 {
			r.Told = told{}
			delete(s.stalled, flow)
		}
	}
	return []string{keyTell}
}

func (s *State) enqueue(e contract.Event, d *contract.FlowPlanned) []string {
	flow := e.Subject
	user, valid := s.valid[flow]
	if !valid {
		return nil // it is planned or has ended already, or was never valid
	}
	delete(s.valid, flow)
	r := &run{
		Trace: e.Trace, Jobs: d.Jobs, State: make(map[string]*job, len(d.Jobs)),
		Owner: admission.Owner{User: user}, Priority: d.Priority, Arrived: e.Seq, Since: e.Time,
	}
	for name, p := range d.Progdefs {
		s.revision(name, p)
	}
	for _, j := range d.Jobs {
		r.State[j.Job] = &job{Mailbox: contract.Mailbox(j.Progdef, j.Revision)}
	}
	s.runs[flow] = r
	s.wait(flow, r)
	for name, p := range d.Progdefs {
		s.forget(contract.Mailbox(name, p.Revision)) // no job is one of it
	}
	return []string{keyAdmit, keyFlow + flow}
}

// wait puts a flow into the queue.
func (s *State) wait(flow string, r *run) {
	s.queue.Add(&admission.Flow{
		ID: flow, Owner: r.Owner, Priority: r.Priority, Arrived: r.Arrived, Since: r.Since,
		Needs: s.needs(r),
	})
}

// needs counts the jobs of each mailbox.
func (s *State) needs(r *run) (needs []admission.Need) {
	jobs := make(map[string]int)
	for _, j := range r.State {
		jobs[j.Mailbox]++
	}
	for _, mailbox := range slices.Sorted(maps.Keys(jobs)) {
		needs = append(needs, admission.Need{Pool: &s.revisions[mailbox].pool, Slots: jobs[mailbox]})
	}
	return needs
}

func (s *State) queued(e contract.Event, d *contract.FlowQueued) {
	r := s.runs[e.Subject]
	if r == nil {
		return
	}
	if f := s.queue.Flow(e.Subject); f != nil && f.Since.IsZero() { // it is of an earlier version
		r.Since, f.Since = e.Time, e.Time
	}
	if r.Told = (told{Place: d.Place, Why: digest(d), At: e.Time}); d.Place == 0 {
		s.stalled[e.Subject] = r
	}
}

// grant gives every job of a waiting flow a slot, and reports whether it has waited.
func (s *State) grant(flow string, r *run, now time.Time) bool {
	f := s.queue.Flow(flow)
	if f == nil {
		return false
	}
	r.Got = now
	s.queue.Granted(flow, now, s.room())
	s.settleAll(f)
	for _, j := range r.State {
		if !j.Over {
			s.hold(flow, r, j)
		}
	}
	return true
}

// room returns the capacity as it is.
func (s *State) room() *admission.Room {
	return admission.NewRoom(s.places(), s.limits.Executors, s.busy)
}

// busy returns the pools that have executors, by name.
func (s *State) busy() (pools []*admission.Pool) {
	for _, mailbox := range slices.Sorted(maps.Keys(s.serving)) {
		if r := s.revisions[mailbox]; r != nil {
			pools = append(pools, &r.pool)
		}
	}
	return pools
}

func (s *State) hold(flow string, r *run, j *job) {
	if rev := s.revisions[j.Mailbox]; rev != nil && !j.Holds {
		j.Holds = true
		s.adjust(flow, r, rev, 1)
	}
}

func (s *State) free(flow string, r *run, j *job) {
	if j.Holds {
		j.Holds = false
		s.adjust(flow, r, s.revisions[j.Mailbox], -1)
	}
}

// adjust changes how many slots of a revision a flow holds without an executor.
func (s *State) adjust(flow string, r *run, rev *revision, slots int) {
	rev.used += slots
	rev.pool.Used += slots
	rev.await(flow, slots)
	s.queue.Hold(r.Owner, &rev.pool, slots, r.Got)
	s.settle(rev)
}

// await changes how many granted jobs of a flow wait for an executor.
func (r *revision) await(flow string, jobs int) {
	if r.awaiting[flow] += jobs; r.awaiting[flow] == 0 {
		delete(r.awaiting, flow)
	}
}

// end takes back the slots of the flow's unclaimed jobs. A running job keeps its slot until it has
// gone: one that ignores the stop still occupies its executor.
func (s *State) end(flow string, now time.Time) []string {
	delete(s.valid, flow)
	r := s.runs[flow]
	if r == nil || !r.Ended.IsZero() {
		return nil
	}
	f := s.queue.Flow(flow)
	s.queue.Remove(flow)
	s.settleAll(f)
	delete(s.stalled, flow)
	if r.live() {
		s.queue.Live(r.Owner, -1, r.Got)
	}
	r.Ended, r.Jobs = now, nil
	keys := slices.Clone(capacityKeys)
	tend := make(map[string]bool)
	for _, j := range r.State {
		if tend[j.Mailbox] = true; j.Executor == "" {
			s.free(flow, r, j)
		} else {
			s.executors[j.Executor].leaves(now)
			s.watch(j.Executor, s.executors[j.Executor])
		}
	}
	for mailbox := range tend {
		keys = append(keys, keyTend+mailbox)
	}
	s.retire(flow, r)
	return keys
}

// leaves notes that the flow of one of the executor's jobs has ended.
func (x *executor) leaves(ended time.Time) {
	x.left++
	x.LeftSince = later(x.LeftSince, ended)
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
	for _, j := range r.State {
		s.forget(j.Mailbox)
	}
}

// jobStarted gives the job to its executor. The executor may be too quick for us and publish it before
// executor.started is stored; and it may be dead already, if its exit was stored first: then the job
// is lost, and holds nothing. An executor of another revision starts nothing.
func (s *State) jobStarted(e contract.Event, d *contract.JobStarted) (keys []string) {
	flow, now := e.Subject, e.Time
	r := s.runs[flow]
	if r == nil || r.State[d.Job] == nil {
		s.prove(d.Executor)
		return nil
	}
	j := r.State[d.Job]
	if !e.From(contract.SplitMailbox(j.Mailbox)) {
		s.prove(d.Executor)
		return nil
	}
	j.Started = true
	if s.grant(flow, r, now) { // another leader has granted it, or flow.spawned is still in flight
		keys = []string{keyAdmit, keyFlow + flow, keyTell}
	}
	switch {
	case j.Over || j.Executor != "":
		return keys // it was started before
	case s.gone.known[d.Executor]:
		s.free(flow, r, j)
		s.retire(flow, r)
		return append(keys, changed(j.Mailbox)...)
	case s.executors[d.Executor] == nil:
		keys = append(keys, keyTend+j.Mailbox)
	}
	x := s.executor(d.Executor, j.Mailbox, now)
	s.prove(d.Executor)
	if x.Mailbox != j.Mailbox || s.revisions[j.Mailbox] == nil {
		return keys // it cannot have it from there, or nothing is known of the revision any more
	}
	s.hold(flow, r, j)
	s.take(flow, r, j, d.Executor)
	return keys
}

// take notes that the executor runs a job of a flow.
func (s *State) take(flow string, r *run, j *job, id string) {
	x, rev := s.executors[id], s.revisions[j.Mailbox]
	if x.flows == nil {
		x.flows = make(map[string]int)
	}
	j.Executor = id
	x.jobs++
	x.flows[flow]++
	if !r.Ended.IsZero() {
		x.leaves(r.Ended)
	}
	s.watch(id, x)
	rev.await(flow, -1)
	if x.drains {
		rev.pool.Used--
		s.settle(rev)
	}
}

// lose takes a job that has ended from its executor, and its slot.
func (s *State) lose(flow string, r *run, j *job, now time.Time) {
	x, rev := s.executors[j.Executor], s.revisions[j.Mailbox]
	if x.flows[flow]--; x.flows[flow] <= 0 {
		delete(x.flows, flow)
	}
	if x.jobs--; x.jobs == 0 {
		x.Idle = now
	}
	if !r.Ended.IsZero() {
		x.left--
	}
	if x.left == 0 {
		x.LeftSince = time.Time{}
	}
	s.watch(j.Executor, x)
	rev.await(flow, 1)
	if x.drains {
		rev.pool.Used++
	}
	j.Executor, j.Over = "", true
	s.free(flow, r, j)
}

// prove notes that an executor can start jobs: its kind is not broken.
func (s *State) prove(executor string) {
	x := s.executors[executor]
	if x == nil {
		return
	}
	x.Proved = true
	if r := s.revisions[x.Mailbox]; r != nil {
		r.forgive()
	}
}

// jobEnded takes back the job's slot. Only the executor that has started a job can say that it has ended.
func (s *State) jobEnded(flow, name, executor string, now time.Time) []string {
	r := s.runs[flow]
	if r == nil || r.State[name] == nil || r.State[name].Executor != executor || executor == "" {
		return nil
	}
	j := r.State[name]
	s.lose(flow, r, j, now)
	s.retire(flow, r)
	return changed(j.Mailbox)
}

// executor returns an executor that has not exited, and adds it if it was not known.
func (s *State) executor(id, mailbox string, now time.Time) *executor {
	if s.executors[id] == nil {
		s.add(id, &executor{Mailbox: mailbox, Idle: now})
	}
	return s.executors[id]
}

func (s *State) executorDraining(id string, now time.Time) []string {
	x := s.executors[id]
	if x == nil || x.Draining {
		return nil
	}
	s.setDrains(id, x, true)
	x.Draining, x.Since = true, now
	return changed(x.Mailbox)
}

func (s *State) executorExited(d *contract.ExecutorExited, now time.Time) []string {
	s.gone.add(d.Executor)
	s.started(d.Executor)
	x := s.executors[d.Executor]
	if x == nil {
		return nil
	}
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
		s.loseJobs(flow, d.Executor, now)
	}
	s.remove(d.Executor)
	s.forget(x.Mailbox)
	return changed(x.Mailbox)
}

// loseJobs takes back the slots of the jobs that an executor has taken with it.
func (s *State) loseJobs(flow, executor string, now time.Time) {
	r := s.runs[flow]
	if r == nil {
		return
	}
	for _, j := range r.State {
		if j.Executor == executor {
			s.lose(flow, r, j, now)
		}
	}
	s.retire(flow, r)
}

// backOff is how long to wait after that many failed starts in a row: 250 ms, doubling to 30 s.
func backOff(failures int) time.Duration {
	return min(250*time.Millisecond<<min(failures-1, 7), 30*time.Second)
}
