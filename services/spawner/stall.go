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

// actCheck notes how far the queue was searched for flows that must be told something new. With is a check.
const actCheck contract.Type = "act.check-queue"

// A check is how far the queue was searched: up to the line of a mailbox, empty after the last one. It covers the
// changes before it began. A flow that may not be told its news yet makes another one due.
type check struct {
	next    string
	changes uint64
	due     time.Time
}

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
	// queuedPause and stallPause bound what a flow is told: another reason at most this often, and a waiting flow only
	// after it has waited for as long again.
	queuedPause = time.Second
	stallPause  = 30 * time.Second
	// toldFirst is how many flows at the head of a line are told of another reason. Those behind are told
	// when they come there, and whenever their place is a power of two.
	toldFirst = 16
	// toldAtOnce is after how many flows that were compared with what they were told a decision ends.
	toldAtOnce = 128
)

// tellQueued tells waiting flows their place and what they lack, when it is new to them. It looks at the lines in turn,
// at some in each decision.
func (p *plan) tellQueued() {
	c := p.s.check
	if p.s.queue.Waiting() == 0 {
		return
	}
	p.again(c.due)
	if c.next == "" && c.changes == p.s.changes && (c.due.IsZero() || p.now.Before(c.due)) {
		return
	}
	if due := p.s.checked.Add(queuedPause); p.now.Before(due) {
		p.again(due)
		return
	}
	if c.next == "" {
		c.changes, c.due = p.s.changes, time.Time{}
	}
	v := p.look()
	looked, told := 0, make(map[*admission.Flow]bool)
	for _, pool := range p.s.queue.Pools() {
		if pool.Name < c.next {
			continue
		}
		if c.next = pool.Name; looked >= toldAtOnce {
			break
		}
		c.next = ""
		line := p.s.queue.Line(pool)
		for at := 0; at < len(line); at = nextLook(at) {
			if f := line[at]; !f.Claimed() && !p.s.runs[f.ID].Told.At.IsZero() && !told[f] {
				told[f] = true // it may stand in several lines
				v.tell(f)
			}
			looked++
		}
	}
	if !p.postponed.IsZero() && (c.due.IsZero() || p.postponed.Before(c.due)) {
		c.due = p.postponed
	}
	p.do(contract.Event{Type: actCheck, With: c})
}

// nextLook returns the index in a line that is looked at next: one of the first, or one whose place is a power of two.
func nextLook(at int) int {
	if at+1 < toldFirst {
		return at + 1
	}
	return 1<<bits.Len(uint(at+1)) - 1
}

// A view is the capacity as the waiting flows see it.
type view struct {
	*plan
	// all is what there is, room what is left of it beside what is kept for the flows with a reservation.
	all, room *admission.Room
	reserved  admission.Reserved
}

func (p *plan) look() view {
	v := view{plan: p, all: p.s.room(), room: p.s.room()}
	v.reserved = p.s.queue.Keep(p.now, v.room)
	return v
}

// tell tells a waiting flow what it waits for and behind which flows.
func (v view) tell(f *admission.Flow) {
	told, line := v.waitsFor(f)
	if v.isNews(v.s.runs[f.ID], told) {
		v.name(f, &told, line)
		v.do(contract.Event{Type: contract.TypeFlowQueued, Subject: f.ID, Data: &told})
	}
}

// name names the flows that are ahead of a flow and those that hold what it lacks.
func (v view) name(f *admission.Flow, told *contract.FlowQueued, line admission.Line) {
	told.Behind = v.ahead(f, line, told.Place)
	for i, x := range told.Shortage {
		if x.What == contract.WhatSlots {
			told.Shortage[i].HeldBy = v.holders(f, v.s.revisions[contract.Mailbox(x.Progdef, x.Revision)])
		}
	}
}

// waitsFor returns what a flow lacks, its place, and in which line that is: the longest one in front of it, that of all
// flows if it lacks only places. A flow that its quotas keep from running waits behind flows of its tenant or user only.
func (v view) waitsFor(f *admission.Flow) (out contract.FlowQueued, line admission.Line) {
	out = contract.FlowQueued{Place: 1, Shortage: []contract.Shortage{}}
	stand := func(in admission.Line) {
		if place := in.Place(f); line == nil || place > out.Place {
			out.Place, line = place, in
		}
	}
	lacks := v.reserved.Lacks(f)
	for _, l := range lacks {
		free := max(l.Limit-l.Held, 0)
		out.Shortage = append(out.Shortage, contract.Shortage{
			What: l.Of + "-" + l.What, Needed: l.Needed, Free: free, Held: l.Held, Kept: min(l.Kept, free), Limit: l.Limit,
		})
		stand(l.Line)
	}
	own := slices.Contains(v.reserved.Flows, f)
	for _, n := range f.Needs {
		kept, free := v.room.Kept(n.Pool), v.all.Free(n.Pool)
		if own {
			kept -= n.Slots
		}
		if n.Slots <= free-kept {
			continue
		}
		rev := v.s.revisions[n.Pool.Name]
		out.Shortage = append(out.Shortage, contract.Shortage{
			Progdef: rev.Name, Revision: rev.Pinned.Revision, What: contract.WhatSlots,
			Needed: n.Slots, Free: max(free, 0), Kept: max(0, min(kept, free)), Limit: n.Pool.Max * n.Pool.Slots,
		})
		if len(lacks) == 0 {
			stand(v.s.queue.Line(n.Pool))
		}
	}
	free, starts := max(v.s.places(), 0), v.all.Starts(f.Needs)
	if starts > free || starts > 0 && len(out.Shortage) == 0 && !v.room.Fits(f.Needs) {
		out.Shortage = append(out.Shortage, contract.Shortage{
			What: contract.WhatExecutors, Needed: starts, Free: free, Kept: min(free, max(free-v.room.Places(), 0)),
			Limit: v.s.limits.Executors,
		})
	}
	if line == nil {
		stand(v.s.queue.Flows())
	}
	return out, line
}

const (
	// named bounds how many flows a flow.queued names for each reason, searched among how many it looks for those ahead.
	named    = 3
	searched = 64
)

// ahead returns the flows of the same tenant directly ahead in a line, the nearest first, without those that limits of
// others keep from running.
func (v view) ahead(f *admission.Flow, line admission.Line, place int) (ids []string) {
	for at := place - 2; at >= max(0, place-2-searched) && len(ids) < named; at-- {
		if line[at].Owner.Tenant == f.Owner.Tenant && !v.reserved.Blocks(line[at], f) {
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
	if c := p.s.serving[rev.mailbox()]; c != nil {
		for _, x := range c.all {
			for id := range x.flows {
				flows[id] = true
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(flows)) {
		if r := p.s.runs[id]; len(ids) < named && r != nil && r.Owner.Tenant == f.Owner.Tenant {
			ids = append(ids, id)
		}
	}
	return ids
}

// isNews reports whether a flow is to be told what it waits for: not if it was told the same, or something a moment ago.
// The place alone is worth it when it has shrunk to a quarter, or to 1.
func (p *plan) isNews(r *run, now contract.FlowQueued) bool {
	last := r.Told
	sooner := now.Place > 0 && 4*now.Place <= last.Place || now.Place == 1 && last.Place > 1
	if !last.At.IsZero() && last.Why == digest(&now) && (last.Place > 0) == (now.Place > 0) && !sooner {
		return false
	}
	due := last.At
	switch {
	case last.At.IsZero():
	case now.Place == 0:
		due = due.Add(stallPause)
	case sooner:
		due = due.Add(queuedPause)
	default: // the longer it waits, the less often
		due = due.Add(max(queuedPause, last.At.Sub(r.Since)))
	}
	if !p.now.Before(due) {
		return true
	}
	p.again(due)
	if p.postponed.IsZero() || due.Before(p.postponed) {
		p.postponed = due
	}
	return false
}

// tellStalls tells flows that have their capacity, and jobs that wait for executors that cannot run yet, why that is.
func (p *plan) tellStalls() {
	news := 0
	for _, mailbox := range slices.Sorted(maps.Keys(p.s.waiting)) {
		rev := p.s.revisions[mailbox]
		if rev == nil {
			continue
		}
		for _, flow := range slices.Sorted(maps.Keys(rev.awaiting)) {
			r := p.s.runs[flow]
			told := contract.FlowQueued{Shortage: p.s.shortOfExecutors(flow, r)}
			if len(told.Shortage) == 0 || !p.isNews(r, told) {
				continue
			}
			p.do(contract.Event{Type: contract.TypeFlowQueued, Subject: flow, Data: &told})
			if news++; news == toldAtOnce {
				return // the others follow in the next decision
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
