package aggregator

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// longestLease bounds how far ahead a beat may vouch for its job.
const longestLease = 24 * time.Hour

// heard extends the life of a job that has beaten.
func (s *State) heard(b *Beat) {
	s.with(b.Flow, func(r *run) {
		j := r.job(b.Job)
		if j == nil || j.State != contract.JobRunning || s.now.IsZero() {
			return
		}
		if latest := s.now.Add(longestLease); b.Until.After(latest) {
			b.Until = latest
		}
		if b.Until.After(j.dead) {
			j.dead, j.spared = b.Until, false
		}
	})
}

// found notes that a waiting job has left its mailbox: an executor has claimed it, and has the
// health time-out to say so.
func (s *State) found(g *Gone) {
	s.with(g.Flow, func(r *run) {
		if j := r.job(g.Job); j != nil && j.State == contract.JobWaiting && j.gone.IsZero() {
			j.gone = s.now
		}
	})
}

// postpone moves every health deadline: nobody could be heard for that long.
func (s *State) postpone(by time.Duration) {
	for _, r := range s.runs {
		for _, j := range r.jobs {
			if !j.dead.IsZero() {
				j.dead = j.dead.Add(by)
			}
			if !j.gone.IsZero() {
				j.gone = j.gone.Add(by)
			}
		}
	}
}

// tick moves the clock, and ends the jobs that have fallen silent.
func (s *State) tick(now time.Time) {
	if gap := now.Sub(s.now); !s.now.IsZero() && gap > 2*s.limits.Tick+time.Second {
		s.postpone(gap)
	}
	s.now = now
	maps.DeleteFunc(s.cancels, func(_ string, c cancel) bool {
		return now.Sub(c.at) > s.limits.CancelMemory
	})
	for _, r := range s.runs {
		if r.cancel != nil || len(r.failures) > 0 { // a replay does not know when it began to end
			r.beginEnding(now)
		}
	}
	silent, lost, running := s.silent()
	if s.linkSuspected(silent, running) {
		for _, x := range silent {
			x.job.dead, x.job.spared = now.Add(x.job.health.Timeout.D()), true
		}
		silent = nil
	}
	for _, x := range slices.Concat(silent, lost) {
		x.run.fail(x.name, x.job, x.job.silence(), contract.PortCounts{}, now)
	}
}

type silentJob struct {
	run  *run
	name string
	job  *job
}

// silent returns the running jobs whose time is over, those that were claimed and never started, and how
// many jobs run. A job that was started while the clock stood still (a replay) gets its first lease here.
func (s *State) silent() (silent, lost []silentJob, running int) {
	for _, r := range s.runs {
		for name, j := range r.jobs {
			switch {
			case j.State == contract.JobWaiting && !j.gone.IsZero() && s.now.Sub(j.gone) > j.health.Timeout.D():
				lost = append(lost, silentJob{r, name, j})
			case j.State != contract.JobRunning:
			case j.dead.IsZero():
				j.dead = s.lease(j)
				running++
			default:
				running++
				if s.now.After(j.dead) {
					silent = append(silent, silentJob{r, name, j})
				}
			}
		}
	}
	byName := func(a, b silentJob) int { return strings.Compare(a.name, b.name) }
	slices.SortFunc(silent, byName) // the same events give the same verdict
	slices.SortFunc(lost, byName)
	return silent, lost, running
}

// linkSuspected reports whether so many jobs, of more than one executor, fell silent together that
// our own link is the likelier cause. Each job is spared once until it is heard again.
func (s *State) linkSuspected(silent []silentJob, running int) bool {
	executors := map[string]bool{}
	for _, x := range silent {
		if x.job.spared {
			return false
		}
		executors[x.job.Executor] = true
	}
	return len(silent) > 1 && 2*len(silent) > running && len(executors) > 1
}

func (j *job) silence() contract.Failure {
	f := contract.Failure{
		Kind:    contract.KindLostHealth,
		Message: fmt.Sprintf("no sign of life for %v", j.health.Timeout),
	}
	if j.State == contract.JobWaiting {
		f.Message = fmt.Sprintf("an executor took the job from its mailbox and did not start it within %v", j.health.Timeout)
	}
	return f
}

// sorted yields the run's jobs by name, so that the same events always give the same verdict.
func (r *run) sorted() iter.Seq2[string, *job] {
	return func(yield func(string, *job) bool) {
		for _, name := range slices.Sorted(maps.Keys(r.jobs)) {
			if !yield(name, r.jobs[name]) {
				return
			}
		}
	}
}
