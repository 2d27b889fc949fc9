package spawner

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math/bits"
	"slices"
	"strconv"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/spawner/admission"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// factRunning tells why executors that were started cannot run yet. With is a map from mailboxes to reasons.
const factRunning contract.Type = "fact.running"

// actCheck notes that the queue was searched for flows that must be told something new.
const actCheck contract.Type = "act.check-queue"

// reasons collects why executors cannot run yet, by mailbox: of several the first by name, so that it stays the same.
func reasons(running []backend.Status) map[string]string {
	why := make(map[string]string)
	for _, x := range running {
		mailbox := contract.Mailbox(x.Progdef, x.Revision)
		if x.Waiting != "" && (why[mailbox] == "" || x.Waiting < why[mailbox]) {
			why[mailbox] = x.Waiting
		}
	}
	return why
}

// A told is what a flow.queued said: its place, a digest of its reasons, and when that was.
type told struct {
	Place int       `json:"place"`
	Why   string    `json:"why"`
	At    time.Time `json:"at"`
}

const (
	// queuedPause and stallPause bound what a flow is told: another reason at most this often.
	queuedPause = time.Second
	stallPause  = 30 * time.Second
	// toldFirst is how many flows at the head of a line are told of another reason. Those behind are told
	// when they come there, and whenever their place is a power of two.
	toldFirst = 16
	// toldAtOnce bounds how many flows are compared with what they were told in one decision.
	toldAtOnce = 128
)

// tellQueued tells waiting flows their place and what they lack, when it is new to them. It looks at the lines in turn.
func (p *plan) tellQueued() {
	if p.s.queue.Waiting() == 0 || !p.s.unchecked {
		return
	}
	if due := p.s.checked.Add(queuedPause); p.now.Before(due) {
		p.again(due)
		return
	}
	room := p.s.roomFor(p.now)
	pools := p.s.queue.Pools()
	looked, told := 0, make(map[*admission.Flow]bool)
	for i := range pools {
		line := p.s.queue.Line(pools[(i+int(p.now.Unix()))%len(pools)])
		for at := 0; at < len(line) && looked < toldAtOnce; at = nextLook(at) {
			if f := line[at]; !f.Claimed() && !p.s.runs[f.ID].Told.At.IsZero() && !told[f] {
				told[f] = true // it may stand in several lines
				p.tell(f.ID, p.s.runs[f.ID], p.waitsFor(f, room), queuedPause)
			}
			looked++
		}
	}
	if !p.postponed {
		p.do(contract.Event{Type: actCheck})
	}
}

// nextLook returns the index in a line that is looked at next: one of the first, or one whose place is a power of two.
func nextLook(at int) int {
	if at+1 < toldFirst {
		return at + 1
	}
	return 1<<bits.Len(uint(at+1)) - 1
}

// waitsFor returns what a flow waits for and behind which flows, where room is what is there without what is kept.
func (p *plan) waitsFor(f *admission.Flow, room *admission.Room) contract.FlowQueued {
	own := make(map[*admission.Pool]int) // what is kept for the flow itself
	if p.s.queue.Reserved(f, p.now, p.s.room()) {
		for _, n := range f.Needs {
			own[n.Pool] = n.Slots
		}
	}
	out := contract.FlowQueued{Place: 1, Shortage: []contract.Shortage{}}
	var longest *admission.Pool // the pool with the longest line in front of the flow
	for _, n := range f.Needs {
		kept := room.Kept(n.Pool) - own[n.Pool]
		free := room.Free(n.Pool) + room.Kept(n.Pool)
		if n.Slots <= free-kept {
			continue
		}
		rev := p.s.revisions[n.Pool.Name]
		out.Shortage = append(out.Shortage, contract.Shortage{
			Progdef: rev.Name, Revision: rev.Pinned.Revision, What: contract.WhatSlots,
			Needed: n.Slots, Free: max(free, 0), Kept: min(kept, max(free, 0)), Limit: n.Pool.Max * n.Pool.Slots,
			HeldBy: p.holders(f, rev),
		})
		if place := p.s.queue.Place(f, n.Pool); longest == nil || place > out.Place {
			out.Place, longest = place, n.Pool
		}
	}
	if free, starts := max(p.s.places(), 0), p.s.room().Starts(f.Needs); starts > free || starts > 0 && len(out.Shortage) == 0 && !room.Fits(f.Needs) {
		out.Shortage = append(out.Shortage, contract.Shortage{
			What: contract.WhatExecutors, Needed: starts, Free: free, Kept: min(free, max(free-room.Places(), 0)),
			Limit: p.s.limits.Executors,
		})
	}
	if longest == nil {
		out.Place = p.s.queue.Place(f, nil)
	}
	out.Behind = p.ahead(f, longest, out.Place)
	return out
}

// named bounds how many flows a flow.queued names for each reason.
const named = 3

// ahead returns the flows of the same tenant directly ahead in a line, the nearest first.
func (p *plan) ahead(f *admission.Flow, pool *admission.Pool, place int) (ids []string) {
	line := p.s.queue.Line(pool)
	for at := place - 2; at >= 0 && len(ids) < named; at-- {
		if line[at].Owner.Tenant == f.Owner.Tenant {
			ids = append(ids, line[at].ID)
		}
	}
	return ids
}

// holders returns flows of the same tenant that hold slots of a revision, by name; none if it has very many slots.
func (p *plan) holders(f *admission.Flow, rev *revision) (ids []string) {
	const most = 64
	if rev.used > most {
		return nil
	}
	flows := make(map[string]bool)
	for id := range rev.awaiting {
		flows[id] = true
	}
	for _, x := range p.s.serving[rev.mailbox()] {
		for id := range x.flows {
			flows[id] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(flows)) {
		if r := p.s.runs[id]; len(ids) < named && r != nil && r.Owner.Tenant == f.Owner.Tenant {
			ids = append(ids, id)
		}
	}
	return ids
}

// tell publishes what a flow waits for unless the flow was told the same, or something a moment ago. The place
// alone is worth it when it has shrunk to half.
func (p *plan) tell(id string, r *run, now contract.FlowQueued, pause time.Duration) {
	last := r.Told
	sooner := now.Place > 0 && 2*now.Place <= last.Place
	switch {
	case last.At.IsZero():
	case last.Why == digest(&now) && (last.Place > 0) == (now.Place > 0) && !sooner:
		return
	case p.now.Before(last.At.Add(pause)):
		p.again(last.At.Add(pause))
		p.postponed = true
		return
	}
	p.do(contract.Event{Type: contract.TypeFlowQueued, Subject: id, Data: &now})
}

// tellStalls tells flows that have their capacity, and jobs that wait for executors that cannot run yet, why that is.
func (p *plan) tellStalls() {
	looked := 0
	for _, mailbox := range slices.Sorted(maps.Keys(p.s.waiting)) {
		rev := p.s.revisions[mailbox]
		if rev == nil {
			continue
		}
		for _, flow := range slices.Sorted(maps.Keys(rev.awaiting)) {
			r := p.s.runs[flow]
			if short := p.s.shortOfExecutors(flow, r); len(short) > 0 && looked < toldAtOnce {
				p.tell(flow, r, contract.FlowQueued{Shortage: short}, stallPause)
				looked++
			}
		}
	}
}

// shortOfExecutors lists what keeps a granted flow's jobs from starting.
func (s *State) shortOfExecutors(flow string, r *run) []contract.Shortage {
	if !r.Granted || !r.Ended.IsZero() {
		return nil
	}
	var out []contract.Shortage
	for _, mailbox := range slices.Sorted(maps.Keys(s.waiting)) {
		rev := s.revisions[mailbox]
		if rev == nil || rev.awaiting[flow] == 0 {
			continue
		}
		out = append(out, contract.Shortage{
			Progdef: rev.Name, Revision: rev.Pinned.Revision, What: contract.WhatSlots, Needed: rev.awaiting[flow],
			Limit: rev.pool.Max * rev.pool.Slots, Reason: s.waiting[mailbox],
		})
	}
	return out
}

// digest is the same for the same reasons, however much is short.
func digest(d *contract.FlowQueued) string {
	h := fnv.New64a()
	for _, x := range d.Shortage {
		_, _ = fmt.Fprintf(h, "%s\x00%s\x00%s\x00%s\x00%t\x00", x.What, x.Progdef, x.Revision, x.Reason, x.Kept > 0)
	}
	return strconv.FormatUint(h.Sum64(), 36)
}
