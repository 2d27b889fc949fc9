package aggregator

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// ears records since when, and how well, this process receives heartbeats. It is not stored: silence counts only
// while this process can receive.
type ears struct {
	// begun is set when this process starts listening; since is the time of the first event after that, the zero
	// time before.
	begun bool
	since time.Time
	// deaf is the total time since then in which this process could not receive; again is the end of the last such
	// period.
	deaf  time.Duration
	again time.Time
	// strained is the last time when an overload was detected: of this machine, of a machine with executors, or of
	// the network. Heartbeats may then be late.
	strained time.Time
	// link is set while the network is suspected, as of the last check for silent jobs.
	link bool
}

// note records that an event was folded.
func (x *ears) note(at time.Time) {
	if x.begun && x.since.IsZero() {
		x.since = at
	}
}

// strain records a sign of overload.
func (x *ears) strain(at time.Time) { x.strained = later(x.strained, at) }

// A pulse is the state of the heartbeats received from a job.
type pulse struct {
	// lasts is the time that the job counts as alive after its last beat; 0 for its health timeout.
	lasts time.Duration
	// deaf is ears.deaf at its last beat.
	deaf time.Duration
	// gone is when the unclaimed job was found missing from its mailbox.
	gone time.Time
}

func (j *job) of() *run      { return j.run }
func (j *job) timer() *timer { return &j.clock }

// dead returns when the job counts as dead without a further beat; the zero time while it need not beat.
func (j *job) dead(s *State) time.Time {
	from, lasts := j.lasting(s)
	if from.IsZero() || j.ended() {
		return time.Time{}
	}
	more := time.Duration(0)
	if s.excused(j, from) {
		more = slack(lasts)
	}
	return s.until(from, lasts, j.pulse.deaf, more)
}

// lasting returns the last heartbeat of the job, zero if it need not send any, and the time that it counts as alive
// after that.
func (j *job) lasting(*State) (from time.Time, lasts time.Duration) {
	if from = j.Heard; j.State == contract.JobWaiting {
		from = j.pulse.gone
	}
	if j.pulse.lasts > 0 {
		return from, j.pulse.lasts
	}
	return from, j.Health.Timeout.D()
}

// longestPulse bounds the time that a beat is valid.
const longestPulse = 24 * time.Hour

// On an overloaded machine, heartbeats are late, not missing. A job whose time expires during an overload gets
// slack: three quarters of its time, so that a dead job is found within twice its time, including the search.
func slack(lasts time.Duration) time.Duration { return lasts / 4 * 3 }

// lateListening is the maximum time, on a machine that is not overloaded, until all published heartbeats are
// folded.
const lateListening = 250 * time.Millisecond

// until returns when the time since a beat expires, given ears.deaf at the beat. Only time in which this process could
// receive counts, with a minimum slack. It returns the zero time before this process listens.
func (s *State) until(from time.Time, lasts, deaf, slack time.Duration) time.Time {
	if s.ears.since.IsZero() {
		return time.Time{}
	}
	if !from.After(s.ears.since) {
		from, deaf = s.ears.since, 0
	}
	return from.Add(lasts + max(s.ears.deaf-deaf, slack))
}

// excused reports whether the silence of a job since a beat may be caused by an overload: one was detected, or the
// executor has beaten for its other jobs. Only time in which this process listens counts.
func (s *State) excused(j *job, beat time.Time) bool {
	since, x := later(beat, s.ears.since), s.executors[j.Executor]
	return !s.ears.strained.Before(since) || x != nil && x.heard.After(since.Add(j.Health.Interval.D()))
}

// heard folds a beat of a job. A late beat is a sign of overload.
func (s *State) heard(b Beat, now time.Time) {
	s.with(b.Flow, func(r *run) {
		j := r.job(b.Job)
		if j == nil || j.State != contract.JobRunning || b.By != "" && b.By != j.Executor {
			return
		}
		if late := j.Health.Interval.D() * 3 / 2; late > 0 && now.Sub(later(j.Heard, s.ears.since)) > late {
			s.ears.strain(now)
		}
		if x := s.executors[j.Executor]; x != nil {
			x.heard = now
		}
		j.Heard = now
		j.pulse = pulse{lasts: min(b.For, longestPulse), deaf: s.ears.deaf}
		s.alive(j)
	})
}

// found records that a waiting job has left its mailbox: an executor has claimed it, and has the health timeout to
// publish job.started.
func (s *State) found(g Gone, now time.Time) {
	s.with(g.Flow, func(r *run) {
		if j := r.job(g.Job); j != nil && j.State == contract.JobWaiting && j.pulse.gone.IsZero() {
			j.pulse.gone, j.pulse.deaf = now, s.ears.deaf
			s.alive(j)
		}
	})
}

// suspect returns the flows with a job or client that seems silent, by this process's estimate of the time. The decision
// follows when all heartbeats until then are received.
func (s *State) suspect(now time.Time) (flows []string) {
	for _, r := range s.suspected {
		r.suspect = false
	}
	s.suspected = s.suspected[:0]
	expired := s.expired(now)
	for _, m := range expired {
		if r := m.of(); !r.suspect {
			r.suspect = true
			s.suspected, flows = append(s.suspected, r), append(flows, r.flow)
		}
	}
	s.ears.link = s.linkSuspected(expired)
	slices.Sort(flows)
	return flows
}

// silent lists the jobs of a run whose time has expired.
func (s *State) silent(r *run, now time.Time) (out []string) {
	for name, j := range r.Jobs {
		if dead := j.dead(s); !dead.IsZero() && now.After(dead) {
			out = append(out, name)
		}
	}
	slices.Sort(out) // the same events give the same verdict
	return out
}

// nextDeath returns when the next job of a run counts as dead without a further beat, or the run's deadline if that is
// earlier. A tick is then needed, because no other event may arrive.
func (s *State) nextDeath(r *run, now time.Time) time.Time {
	next := r.Deadline
	for _, j := range r.Jobs {
		if dead := j.dead(s); !dead.Before(now) && (next.IsZero() || dead.Before(next)) {
			next = dead.Add(time.Nanosecond)
		}
	}
	for _, c := range r.Clients {
		if gone := s.clientGone(c); !gone.Before(now) && (next.IsZero() || gone.Before(next)) {
			next = gone.Add(time.Nanosecond)
		}
	}
	return next
}

// judgeSilence fails the silent jobs of a run, once all heartbeats until now are received.
func (s *State) judgeSilence(flow string, r *run, now time.Time) []contract.Event {
	silent := s.silent(r, now)
	if len(silent) == 0 {
		return s.judgeClients(flow, r, now)
	}
	for _, name := range silent {
		if !r.listened.After(r.Jobs[name].dead(s)) {
			return []contract.Event{{Type: actListen, Subject: flow}}
		}
	}
	if s.ears.link {
		return []contract.Event{{Type: actDoubt, Subject: flow}}
	}
	return []contract.Event{{Type: actLose, Subject: flow, With: silent}}
}

// linkSuspected reports whether so many jobs, of more than one executor, fell silent together that the network
// is the likelier cause. It is not suspected again before one of them is heard.
func (s *State) linkSuspected(expired []mortal) bool {
	silent := 0
	executors := map[string]bool{}
	for _, m := range expired {
		j, is := m.(*job)
		if !is || j.State != contract.JobRunning {
			continue
		}
		if s.excused(j, j.Heard) {
			return false
		}
		silent++
		executors[j.Executor] = true
	}
	return silent > 1 && 2*silent > s.running && len(executors) > 1
}

// lose fails the silent jobs.
func (s *State) lose(flow string, names []string, now time.Time) {
	s.with(flow, func(r *run) {
		for _, name := range names {
			if j := r.job(name); j != nil {
				s.fail(j, j.silence(), contract.PortCounts{}, now)
			}
		}
	})
}

func (j *job) silence() contract.Failure {
	f := contract.Failure{
		Kind:    contract.KindLostHealth,
		Message: fmt.Sprintf("no heartbeat for %v", j.Health.Timeout),
	}
	if j.State == contract.JobWaiting {
		f.Message = fmt.Sprintf("an executor took the job from its mailbox and did not start it within %v", j.Health.Timeout)
	}
	return f
}

// sorted yields the run's jobs sorted by name, so that the same events always give the same verdict.
func (r *run) sorted() iter.Seq2[string, *job] {
	return func(yield func(string, *job) bool) {
		for _, name := range slices.Sorted(maps.Keys(r.Jobs)) {
			if !yield(name, r.Jobs[name]) {
				return
			}
		}
	}
}

// A waitingJob is an unclaimed job, with the subject that it is stored on.
type waitingJob struct {
	Gone
	subject string
}

// passesOver bounds the unclaimed jobs that longWaiting looks at for each that it returns.
const passesOver = 10

// longWaiting returns up to limit jobs that have waited for a claim for longer than a beat, the least recently checked
// first, and the number of jobs that it has looked at.
func (s *State) longWaiting(limit int, now time.Time) (out []waitingJob, looked int) {
	for e := s.unclaimed.Front(); e != nil && len(out) < limit && looked < passesOver*limit; e = e.Next() {
		looked++
		if j := e.Value.(*job); j.pulse.gone.IsZero() && now.Sub(j.run.Waiting) >= j.Health.Interval.D() {
			subject := contract.JobSubject(j.Progdef, j.Revision, j.run.flow, j.name)
			out = append(out, waitingJob{Gone{j.run.flow, j.name}, subject})
		}
	}
	return out, looked
}

// checked puts the first n unclaimed jobs behind the others.
func (s *State) checked(n int) {
	for range min(n, s.unclaimed.Len()) {
		s.unclaimed.MoveToBack(s.unclaimed.Front())
	}
}
