package aggregator

import (
	"cmp"
	"container/heap"
	"container/list"
	"slices"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// indexes find what an event or a pulse is about without a scan of all runs. They are derived from the runs, and
// made again after a snapshot.
type indexes struct {
	// living holds the running jobs, the waiting jobs that have left their mailbox, and the clients, ordered by when
	// they may count as dead.
	living living
	// suspected are the runs that the last pulse found silent jobs or clients of.
	suspected []*run
	// running is the number of running jobs.
	running int
	// mailboxes holds the jobs that wait in each mailbox.
	mailboxes map[string]*mailbox
	// unclaimed holds the same jobs, the least recently checked first.
	unclaimed list.List
	// flowing holds the runs whose edges are checked, the least recently checked first.
	flowing list.List
}

func newIndexes() indexes { return indexes{mailboxes: make(map[string]*mailbox)} }

// A mortal is a job or a client: it counts as dead unless it sends heartbeats.
type mortal interface {
	of() *run
	timer() *timer
	// dead returns when it counts as dead without a further heartbeat, the zero time for never.
	dead(s *State) time.Time
	// lasting returns its last heartbeat, and the time that it counts as alive after that.
	lasting(s *State) (from time.Time, lasts time.Duration)
}

// A timer is the place of a mortal in living.
type timer struct {
	at    time.Time // not after the time when it counts as dead
	place int       // from 1; 0 if it is not in living
}

// living is a heap.
type living []mortal

func (l living) Len() int           { return len(l) }
func (l living) Less(i, j int) bool { return l[i].timer().at.Before(l[j].timer().at) }

func (l living) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].timer().place, l[j].timer().place = i+1, j+1
}

func (l *living) Push(x any) {
	*l = append(*l, x.(mortal))
	x.(mortal).timer().place = len(*l)
}

func (l *living) Pop() any {
	last := len(*l) - 1
	m := (*l)[last]
	(*l)[last] = nil
	*l = (*l)[:last]
	m.timer().place = 0
	return m
}

func (l *living) set(m mortal, at time.Time) {
	t := m.timer()
	if t.at = at; t.place == 0 {
		heap.Push(l, m)
	} else {
		heap.Fix(l, t.place-1)
	}
}

func (l *living) remove(m mortal) {
	if t := m.timer(); t.place > 0 {
		heap.Remove(l, t.place-1)
	}
}

// expired returns all that count as dead. The others whose timers have expired get new ones.
func (s *State) expired(now time.Time) (out []mortal) {
	l := &s.living
	for len(*l) > 0 && (*l)[0].timer().at.Before(now) {
		m := (*l)[0]
		dead := m.dead(s)
		if dead.IsZero() { // this process does not listen yet
			break
		}
		if now.After(dead) {
			out = append(out, m)
			heap.Pop(l)
		} else {
			l.set(m, dead)
		}
	}
	for _, m := range out {
		heap.Push(l, m)
	}
	return out
}

// alive notes a heartbeat. A timer that is early by less than half the time is left as it is: so most heartbeats
// change no timer, and no timer expires as long as they come in time.
func (s *State) alive(m mortal) {
	from, lasts := m.lasting(s)
	at, t := from.Add(lasts), m.timer()
	if early := at.Sub(t.at); t.place == 0 || early < 0 || early > lasts/2 {
		s.living.set(m, at)
	}
}

// A mailbox holds the unclaimed jobs of spawned flows, in the order in which they were put there.
type mailbox struct {
	jobs list.List
	// failed counts the executors that exited before they started a job; forgiven is what it was when one last
	// started a job.
	failed, forgiven int
}

// failures returns how many executors in a row have failed to start while the job waited.
func (m *mailbox) failures(j *job) int { return m.failed - max(j.waits.before, m.forgiven) }

// waits is the place of an unclaimed job in its mailbox, and in unclaimed.
type waits struct {
	mailbox, unclaimed *list.Element
	// before is mailbox.failed at the time when the job was put there.
	before int
}

// wait adds a job to its mailbox, where executors have failed to start while it waited.
func (s *State) wait(j *job, failures int) {
	name := j.mailbox()
	m := s.mailboxes[name]
	if m == nil {
		m = &mailbox{failed: failures}
		s.mailboxes[name] = m
	}
	j.waits = &waits{m.jobs.PushBack(j), s.unclaimed.PushBack(j), m.failed - failures}
}

// claimed removes a job that does not wait any more.
func (s *State) claimed(j *job) {
	if j.waits == nil {
		return
	}
	name := j.mailbox()
	m := s.mailboxes[name]
	m.jobs.Remove(j.waits.mailbox)
	s.unclaimed.Remove(j.waits.unclaimed)
	j.waits = nil
	if m.jobs.Len() == 0 {
		delete(s.mailboxes, name)
	}
}

// hold records that a job runs on an executor.
func (s *State) hold(x *executor, j *job) {
	x.jobs = append(x.jobs, j)
	s.running++
	s.alive(j)
}

// reindex makes the indexes of a state that was read from a snapshot. failed is how many executors in a row have failed
// to start, by flow and mailbox.
func (s *State) reindex(failed map[string]map[string]int) {
	var waiting []*job
	for flow, r := range s.runs {
		if r.flow = flow; r.Spawned {
			s.watchTraffic(r, r.Stall.traffic())
		}
		for _, c := range r.Clients {
			c.run = r
			s.alive(c)
		}
		for name, j := range r.Jobs {
			switch j.name, j.run = name, r; {
			case j.State == contract.JobRunning:
				s.hold(s.executor(j.Executor), j)
			case j.State == contract.JobWaiting && r.Spawned:
				waiting = append(waiting, j)
			}
		}
	}
	failures := func(j *job) int { return failed[j.run.flow][j.mailbox()] }
	slices.SortFunc(waiting, func(a, b *job) int {
		return cmp.Or(cmp.Compare(failures(b), failures(a)), a.run.Waiting.Compare(b.run.Waiting), byName(a, b))
	})
	for _, j := range waiting {
		s.wait(j, failures(j))
	}
}

// unindex removes a run that has ended.
func (s *State) unindex(r *run) {
	if r.traffic.place != nil {
		s.flowing.Remove(r.traffic.place)
	}
	for _, c := range r.Clients {
		s.living.remove(c)
	}
	for _, j := range r.Jobs {
		s.claimed(j)
		s.living.remove(j)
		if j.State == contract.JobRunning {
			s.leave(j)
		}
	}
}

// byName orders jobs by flow and name.
func byName(a, b *job) int {
	return cmp.Or(strings.Compare(a.run.flow, b.run.flow), strings.Compare(a.name, b.name))
}

// failedStarts returns how many executors in a row have failed to start, by flow and mailbox.
func (s *State) failedStarts() map[string]map[string]int {
	out := make(map[string]map[string]int)
	for name, m := range s.mailboxes {
		for e := m.jobs.Front(); e != nil && m.failures(e.Value.(*job)) > 0; e = e.Next() {
			j := e.Value.(*job)
			if out[j.run.flow] == nil {
				out[j.run.flow] = make(map[string]int)
			}
			out[j.run.flow][name] = m.failures(j)
		}
	}
	return out
}
