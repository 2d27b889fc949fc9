package spawner

import (
	"fmt"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// actGiveUp makes an executor give up its running jobs; it is performed, not published.
const actGiveUp contract.Type = "act.give-up"

// giveUp is With of an executor.draining that is performed by giving the executor up.
const giveUp = "give up"

// giveUpLingering handles an executor that no longer reacts: a frozen process, or a program that ignores its stop. An
// executor that holds a job of an ended flow for too long is drained, or given up at once if none of its jobs is live,
// because a draining executor on Kubernetes cannot be hurried. A draining executor without live jobs that does not exit
// is given up, too.
func (p *plan) giveUpLingering(id string, x *executor) {
	due := p.s.lingersUntil(x)
	p.again(due)
	switch {
	case due.IsZero() || p.now.Before(due) || p.drained[id]:
	case x.Draining:
		p.do(contract.Event{Type: actGiveUp, Subject: id})
	default:
		e := p.drain(id, x, fmt.Sprintf("a job is still running %v after the end of its flow", p.s.limits.Linger))
		if x.left == x.jobs {
			e.With = giveUp
		}
	}
}

// lingersUntil returns how long an executor that holds only jobs of ended flows may continue; the zero time if it is
// needed.
func (s *State) lingersUntil(x *executor) time.Time {
	switch {
	case x.Draining && x.left == x.jobs && !x.givenUp:
		return later(later(x.Since, x.Idle), x.LeftSince).Add(s.limits.Linger)
	case !x.Draining && x.left > 0:
		return x.LeftSince.Add(s.limits.Linger)
	default:
		return time.Time{}
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
