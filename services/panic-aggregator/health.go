package aggregator

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// ears is since when, and how well, this process receives signs of life. It is not stored: a job is silent only
// for the time in which we could receive.
type ears struct {
	// begun is set when we begin to listen; since is the time of the first event behind that, the zero time
	// before.
	begun bool
	since time.Time
	// deaf is for how long we could not receive since then, again when that ended the last time.
	deaf  time.Duration
	again time.Time
	// strained is when an overload was noticed the last time: of this machine, of one that runs executors, or
	// of the network. Signs of life may be late then.
	strained time.Time
}

// note takes in that an event was folded.
func (x *ears) note(at time.Time) {
	if x.begun && x.since.IsZero() {
		x.since = at
	}
}

// strain notes a sign of overload.
func (x *ears) strain(at time.Time) { x.strained = later(x.strained, at) }

// A pulse is what this process has received from a job.
type pulse struct {
	// lasts is for how long the job is alive after it was heard; 0 for its health timeout.
	lasts time.Duration
	// deaf is for how long we had been deaf when it was heard.
	deaf time.Duration
	// gone is when the unclaimed job was found to have left its mailbox.
	gone time.Time
}

// longestPulse bounds for how long a beat may vouch for its job.
const longestPulse = 24 * time.Hour

// Signs of life are late, and not missing, on an overloaded machine. A job that has run out of time while an
// overload was noticed gets slack: three quarters of its time, so that one that is really dead is found within
// twice its time, the search included.
func slack(lasts time.Duration) time.Duration { return lasts / 4 * 3 }

// lateListening is how long it takes at most, on a machine that is not overloaded, until all signs of life that
// were sent are folded.
const lateListening = 250 * time.Millisecond

// dead returns when the job counts as dead unless it is heard; the zero time while it need not be heard.
func (s *State) dead(j *job) time.Time {
	from, deaf := j.Heard, j.pulse.deaf
	if j.State == contract.JobWaiting {
		from = j.pulse.gone
	}
	if from.IsZero() || j.ended() {
		return time.Time{}
	}
	if s.ears.since.IsZero() {
		return time.Time{}
	}
	if excused := later(from, s.ears.since); s.excused(j, excused) {
		return s.until(from, j.lasts(), deaf, slack(j.lasts()))
	}
	return s.until(from, j.lasts(), deaf, 0)
}

// until returns when the time of somebody is over who was heard at a moment, when we had been deaf for so long: it
// counts only while we could hear, with a slack at least. It is the zero time before we have begun to listen.
func (s *State) until(from time.Time, lasts, deaf, slack time.Duration) time.Time {
	if s.ears.since.IsZero() {
		return time.Time{}
	}
	if !from.After(s.ears.since) {
		from, deaf = s.ears.since, 0
	}
	return from.Add(lasts + max(s.ears.deaf-deaf, slack))
}

// excused reports whether the silence of a job since a time may come from an overload: one was noticed, or the
// executor has beaten for its other jobs.
func (s *State) excused(j *job, since time.Time) bool {
	x := s.executors[j.Executor]
	return !s.ears.strained.Before(since) || x != nil && x.heard.After(since.Add(j.Health.Interval.D()))
}

// lasts is for how long the job is alive after its last sign of life.
func (j *job) lasts() time.Duration {
	if j.pulse.lasts > 0 {
		return j.pulse.lasts
	}
	return j.Health.Timeout.D()
}

// heard extends the life of a job that has beaten. A beat that comes late is a sign of overload.
func (s *State) heard(b Beat, now time.Time) {
	s.with(b.Flow, func(r *run) {
		j := r.job(b.Job)
		if j == nil || j.State != contract.JobRunning {
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
	})
}

// found notes that a waiting job has left its mailbox: an executor has claimed it, and has the
// health timeout to publish so.
func (s *State) found(g Gone, now time.Time) {
	s.with(g.Flow, func(r *run) {
		if j := r.job(g.Job); j != nil && j.State == contract.JobWaiting && j.pulse.gone.IsZero() {
			j.pulse.gone, j.pulse.deaf = now, s.ears.deaf
		}
	})
}

// suspect returns the flows of which a job or a client seems silent, by our estimate of the time. Whether it is, is decided
// when all is known that was sent until then.
func (s *State) suspect(now time.Time) (flows []string) {
	for flow, r := range s.runs {
		if r.suspect = len(s.silent(r, now)) > 0 || len(s.silentClients(r, now)) > 0; r.suspect {
			flows = append(flows, flow)
		}
	}
	slices.Sort(flows)
	return flows
}

// silent lists the jobs of a run whose time is over.
func (s *State) silent(r *run, now time.Time) (out []string) {
	for name, j := range r.Jobs {
		if dead := s.dead(j); !dead.IsZero() && now.After(dead) {
			out = append(out, name)
		}
	}
	slices.Sort(out) // the same events give the same verdict
	return out
}

// nextDeath returns when the next job of a run counts as dead unless it is heard, or the run's deadline if that is
// earlier: the time is to be asked for then, since nothing else may happen in EVENTS.
func (s *State) nextDeath(r *run, now time.Time) time.Time {
	next := r.Deadline
	for _, j := range r.Jobs {
		if dead := s.dead(j); !dead.Before(now) && (next.IsZero() || dead.Before(next)) {
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

// judgeSilence gives up the silent jobs of a run, once all that was sent until now is heard.
func (s *State) judgeSilence(flow string, r *run, now time.Time) []contract.Event {
	silent := s.silent(r, now)
	if len(silent) == 0 {
		return s.judgeClients(flow, r, now)
	}
	for _, name := range silent {
		if !r.listened.After(s.dead(r.Jobs[name])) {
			return []contract.Event{{Type: actListen, Subject: flow}}
		}
	}
	if s.linkSuspected(now) {
		return []contract.Event{{Type: actDoubt, Subject: flow}}
	}
	return []contract.Event{{Type: actLose, Subject: flow, With: silent}}
}

// linkSuspected reports whether so many jobs, of more than one executor, fell silent together that the network
// is the likelier cause. It is not suspected again before one of them is heard.
func (s *State) linkSuspected(now time.Time) bool {
	silent, running := 0, 0
	executors := map[string]bool{}
	for _, r := range s.runs {
		for _, j := range r.Jobs {
			if j.State != contract.JobRunning {
				continue
			}
			running++
			dead := s.dead(j)
			if dead.IsZero() || !now.After(dead) {
				continue
			}
			if s.excused(j, later(j.Heard, s.ears.since)) {
				return false
			}
			silent++
			executors[j.Executor] = true
		}
	}
	return silent > 1 && 2*silent > running && len(executors) > 1
}

// lose fails the jobs that are silent.
func (s *State) lose(flow string, names []string, now time.Time) {
	s.with(flow, func(r *run) {
		for _, name := range names {
			if j := r.job(name); j != nil {
				s.fail(flow, r, name, j, j.silence(), contract.PortCounts{}, now)
			}
		}
	})
}

func (j *job) silence() contract.Failure {
	f := contract.Failure{
		Kind:    contract.KindLostHealth,
		Message: fmt.Sprintf("no sign of life for %v", j.Health.Timeout),
	}
	if j.State == contract.JobWaiting {
		f.Message = fmt.Sprintf("an executor took the job from its mailbox and did not start it within %v", j.Health.Timeout)
	}
	return f
}

// sorted yields the run's jobs by name, so that the same events always give the same verdict.
func (r *run) sorted() iter.Seq2[string, *job] {
	return func(yield func(string, *job) bool) {
		for _, name := range slices.Sorted(maps.Keys(r.Jobs)) {
			if !yield(name, r.Jobs[name]) {
				return
			}
		}
	}
}
