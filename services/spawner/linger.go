package spawner

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// actGiveUp makes an executor give up its running jobs; it is performed, not published.
const actGiveUp contract.Type = "act.give-up"

// giveUp is With of an executor.draining that is performed by giving the executor up.
const giveUp = "give up"

// giveUpLingering handles executors that no longer react: frozen processes, and programs that ignore their stop. An
// executor that holds a job of an ended flow for too long is drained, or given up at once if none of its jobs is live,
// because a draining executor on Kubernetes cannot be hurried. A draining executor without live jobs that does not exit
// is given up, too.
func (p *plan) giveUpLingering() {
	left := p.s.leftovers()
	for _, id := range slices.Sorted(maps.Keys(p.s.executors)) {
		x := p.s.executors[id]
		dead, due := left[id].jobs, p.s.lingersUntil(x, left[id])
		p.again(due)
		switch {
		case due.IsZero() || p.now.Before(due) || p.drained[id]:
		case x.Draining:
			p.do(contract.Event{Type: actGiveUp, Subject: id})
		default:
			e := p.drain(id, x, fmt.Sprintf("a job is still running %v after the end of its flow", p.s.limits.Linger))
			if dead == x.jobs {
				e.With = giveUp
			}
		}
	}
}

// lingersUntil returns how long an executor that holds only leftovers may continue; the zero time if it is needed.
func (s *State) lingersUntil(x *executor, left leftover) time.Time {
	switch {
	case x.Draining && left.jobs == x.jobs && !x.givenUp:
		return later(later(x.Since, x.Idle), left.since).Add(s.limits.Linger)
	case !x.Draining && left.jobs > 0:
		return left.since.Add(s.limits.Linger)
	default:
		return time.Time{}
	}
}

// A leftover is the jobs of ended flows that an executor still runs.
type leftover struct {
	jobs int
	// since is when the last of their flows ended.
	since time.Time
}

func (s *State) leftovers() map[string]leftover {
	out := make(map[string]leftover)
	for _, r := range s.ended {
		for _, j := range r.State {
			if j.Executor != "" {
				l := out[j.Executor]
				out[j.Executor] = leftover{l.jobs + 1, later(l.since, r.Ended)}
			}
		}
	}
	return out
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
