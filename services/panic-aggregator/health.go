package aggregator

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// ears is since when, and how well, this process hears signs of life. It is no part of what is stored: a job is
// silent only for the time in which we could hear.
type ears struct {
	// begun is set when we begin to listen; since is the time of the first event behind that, the zero time
	// before.
	begun bool
	since time.Time
	// deaf is for how long we could not hear since then, again when that ended the last time.
	deaf  time.Duration
	again time.Time
}

// note takes in that an event was folded.
func (x *ears) note(at time.Time) {
	if x.begun && x.since.IsZero() {
		x.since = at
	}
}

// A pulse is what this process has heard of a job.
type pulse struct {
	// lasts is for how long the job is alive after it was heard; 0 for its health timeout.
	lasts time.Duration
	// deaf is for how long we had been deaf when it was heard.
	deaf time.Duration
	// gone is when the unclaimed job was found to have left its mailbox.
	gone time.Time
	// spared is set once its silence has been put down to the link.
	spared bool
}

// longestPulse bounds for how long a beat may vouch for its job.
const longestPulse = 24 * time.Hour

// dead returns when the job counts as dead unless it is heard; the zero time while it need not be heard.
func (s *State) dead(j *job) time.Time {
	from, lasts, deaf := j.Heard, j.pulse.lasts, j.pulse.deaf
	if j.State == contract.JobWaiting {
		from = j.pulse.gone
	}
	if from.IsZero() || j.ended() {
		return time.Time{}
	}
	if lasts == 0 {
		lasts = j.Health.Timeout.D()
	}
	return s.until(from, lasts, deaf)
}

// until returns when the time of somebody is over who was heard at a moment, when we had been deaf for so long: it
// counts only while we could hear. It is the zero time before we have begun to listen.
func (s *State) until(from time.Time, lasts, deaf time.Duration) time.Time {
	if s.ears.since.IsZero() {
		return time.Time{}
	}
	if !from.After(s.ears.since) {
		from, deaf = s.ears.since, 0
	}
	return from.Add(lasts + s.ears.deaf - deaf)
}

// heard extends the life of a job that has beaten.
func (s *State) heard(b Beat, now time.Time) {
	s.with(b.Flow, func(r *run) {
		if j := r.job(b.Job); j != nil && j.State == contract.JobRunning {
			j.Heard = now
			j.pulse = pulse{lasts: min(b.For, longestPulse), deaf: s.ears.deaf}
		}
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
	act := actLose
	if s.linkSuspected(now) {
		act = actSpare
	}
	return []contract.Event{{Type: act, Subject: flow, With: silent}}
}

// linkSuspected reports whether so many jobs, of more than one executor, fell silent together that
// our own link is the likelier cause. Each job is spared once until it is heard again.
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
			if j.pulse.spared {
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

// spare waits for silent jobs once more.
func (s *State) spare(flow string, names []string, now time.Time) {
	s.with(flow, func(r *run) {
		for _, name := range names {
			if j := r.job(name); j != nil {
				j.pulse.spared, j.pulse.deaf = true, s.ears.deaf
				if j.State == contract.JobWaiting {
					j.pulse.gone = now
				} else {
					j.Heard = now
				}
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
