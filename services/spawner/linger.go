package spawner

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// actGiveUp makes an executor give up what it still runs; it is performed, not published.
const actGiveUp contract.Type = "act.give-up"

// giveUp is With of an executor.draining that is performed by giving the executor up.
const giveUp = "give up"

// giveUpLingering deals with executors that no longer do what they are told: frozen processes, and
// programs that ignore their stop. One that holds a job of an ended flow for too long is drained, or
// given up at once where none of its jobs is alive: on Kubernetes one that drains cannot be hurried. One
// that drains, has no living job left and still does not exit is given up, too.
func (p *plan) giveUpLingering() {
	left := p.s.leftovers()
	for _, id := range slices.Sorted(maps.Keys(p.s.executors)) {
		x := p.s.executors[id]
		dead, since := left[id].jobs, left[id].since
		switch {
		case x.draining && dead == x.jobs && p.now.Sub(later(later(x.since, x.idle), since)) >= p.s.limits.Linger:
			p.do(contract.Event{Type: actGiveUp, Subject: id, MsgID: "give-up." + id})
		case !x.draining && !p.drained[id] && dead > 0 && p.now.Sub(since) >= p.s.limits.Linger:
			e := p.drain(id, x, fmt.Sprintf("a job has not ended %v after its flow", p.s.limits.Linger))
			if dead == x.jobs {
				e.With = giveUp
			}
		}
	}
}

// A leftover is what an executor still runs for ended flows.
type leftover struct {
	jobs int
	// since is when the last of their flows ended.
	since time.Time
}

func (s State) leftovers() map[string]leftover {
	out := make(map[string]leftover)
	for _, r := range s.runs {
		if !r.ended {
			continue
		}
		for _, j := range r.state {
			if j.executor != "" {
				l := out[j.executor]
				out[j.executor] = leftover{l.jobs + 1, later(l.since, r.endedAt)}
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
