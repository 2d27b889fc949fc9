package admission

import (
	"cmp"
	"container/heap"
	"slices"
	"time"
)

// A Result is what Admit has decided.
type Result struct {
	// Admitted are the flows to admit now, in order.
	Admitted []*Flow
	// Kept are the flows with a reservation that are not admitted, up to the one that lacks places: for that one, what
	// those after it need may be drained.
	Kept []*Flow
	// Cramped are the first flows that lack nothing but places for executors: those with a reservation, then those for
	// which there are enough idle executors.
	Cramped []Cramped
	// Places is how many places the flows with a reservation lack, negative if some are left.
	Places int
	// Next is when reservations must be decided again, zero for never.
	Next time.Time
}

// A Cramped is a flow that lacks nothing but places for executors.
type Cramped struct {
	*Flow
	// Starts is how many executors must be started for it; zero if it has a reservation.
	Starts int
}

// mostCramped bounds the flows in Cramped.
const mostCramped = 8

// Admit decides about up to limit flows. It takes from the room what they need, and keeps there what is reserved.
func (q *Queue) Admit(now time.Time, room *Room, limit int) (out Result) {
	d := newDecision(room)
	reserved, next := d.reserved(q, now)
	out.Next = next
	for _, f := range reserved {
		switch {
		case len(out.Admitted) < limit && room.Fits(f.Needs):
			d.give(f) // its quotas are kept for it
			out.Admitted = append(out.Admitted, f)
			continue
		case room.cramped(f.Needs):
			out.Cramped = append(out.Cramped, Cramped{Flow: f})
		}
		if room.Places() >= 0 {
			out.Kept = append(out.Kept, f)
		}
		room.keep(f.Needs, q.since(f, now))
		d.waits = true
	}
	if again := now.Add(q.ReserveAfter); d.waits && (out.Next.IsZero() || again.Before(out.Next)) {
		out.Next = again
	}
	for _, c := range q.list {
		d.enter(c, 0, reserved)
	}
	heap.Init(&d.order)
	for len(d.order) > 0 && len(out.Admitted) < limit {
		best := heap.Pop(&d.order).(entry)
		if rank := d.rank(best.class, best.at); rank != best.rank { // the shares have grown since
			best.rank = rank
			heap.Push(&d.order, best)
			continue
		}
		f := best.flow()
		fits, cramped := d.fits(f)
		if cramped {
			d.cramped = append(d.cramped, best)
		}
		if fits {
			d.admit(f)
			out.Admitted = append(out.Admitted, f)
			if d.enter(best.class, best.at+1, reserved) {
				heap.Fix(&d.order, len(d.order)-1)
			}
		}
	}
	out.Places = -room.Places()
	out.Cramped = append(out.Cramped, d.relievable()...)
	return out
}

// relievable returns the first cramped flows for which there are enough idle executors.
func (d *decision) relievable() (out []Cramped) {
	if len(d.cramped) == 0 || d.room.Idle == nil {
		return nil
	}
	slices.SortFunc(d.cramped, func(a, b entry) int { return a.rank.compare(b.rank) })
	most := d.room.Idle() + d.room.Places()
	for _, e := range d.cramped {
		f := e.flow()
		starts := d.room.both.more(f.Needs)
		if starts > most || !d.within(f) {
			continue
		}
		d.spend(f)
		if out = append(out, Cramped{f, starts}); len(out) == mostCramped {
			break
		}
	}
	return out
}

// Keep keeps in the room what is reserved, and returns that.
func (q *Queue) Keep(now time.Time, room *Room) Reserved {
	d := newDecision(room)
	reserved, _ := d.reserved(q, now)
	for _, f := range reserved {
		room.keep(f.Needs, q.since(f, now))
	}
	return Reserved{reserved, d}
}

// due returns the first flow of each class that was passed and has waited long enough to get a reservation, and
// when the next one has.
func (q *Queue) due(now time.Time) (flows []*Flow, next time.Time) {
	for c := range q.passed {
		f := c.flows[0]
		if due := f.Passed.Add(q.ReserveAfter); !now.Before(due) {
			flows = append(flows, f)
		} else if next.IsZero() || due.Before(next) {
			next = due
		}
	}
	return flows, next
}

// patience is how long jobs may have been running that a flow with a reservation waits for, as a multiple of
// ReserveAfter.
const patience = 10

// since returns when the jobs must have been granted that a flow with a reservation waits for. Those that have been
// running for longer are not expected to end soon, until the flow has waited for more than twice as long.
func (q *Queue) since(f *Flow, now time.Time) time.Time {
	d, waited := patience*max(q.ReserveAfter, time.Millisecond), now.Sub(f.Passed)
	for 4*d <= waited {
		d *= 2
	}
	return now.Add(-d)
}

// A decision is what Admit has decided so far.
type decision struct {
	room     *Room
	accounts map[*holder]*account
	order    order
	// cramped are those that lack nothing but places.
	cramped []entry
	// waits is set if something is kept for a flow that is not admitted yet.
	waits bool
}

func newDecision(room *Room) *decision {
	return &decision{room: room, accounts: make(map[*holder]*account)}
}

func (d *decision) account(h *holder) *account {
	a := d.accounts[h]
	if a == nil {
		a = newAccount(h)
		d.accounts[h] = a
	}
	return a
}

// lacks reports whether a quota leaves no room for a flow.
func (d *decision) lacks(f *Flow, h *holder) bool { return h.quota.bounds() && d.account(h).lacks(f) }

// within reports whether the quotas leave room for a flow.
func (d *decision) within(f *Flow) bool {
	return !d.lacks(f, f.holders[0]) && !d.lacks(f, f.holders[1])
}

// fits reports whether there is all that a flow needs, or all but places.
func (d *decision) fits(f *Flow) (fits, cramped bool) {
	switch {
	case d.room.Fits(f.Needs):
		return d.within(f), false
	case d.room.cramped(f.Needs):
		return false, d.within(f)
	}
	return false, false
}

// passes reports whether a granted flow has passed a waiting one that arrived earlier.
func (d *decision) passes(f, waiting *Flow) bool {
	within, shared := true, false
	for i, h := range waiting.holders {
		if d.lacks(waiting, h) {
			within, shared = false, shared || h == f.holders[i]
		}
	}
	if !within {
		return shared
	}
	return touch(waiting.Needs, f.Needs) || !d.room.places(waiting.Needs)
}

// reserved returns the flows that have a reservation, and when the next one gets one.
func (d *decision) reserved(q *Queue, now time.Time) ([]*Flow, time.Time) {
	due, next := q.due(now)
	return d.reserve(due, func(f *Flow) time.Time { return q.since(f, now) }), next
}

// reserve returns the flows that get a reservation: of those that need slots of the same pool, or places that are
// short, only the first. What a flow lacks must be held by jobs that were granted since a time. For a flow that its
// quotas keep from running, only those are kept.
func (d *decision) reserve(flows []*Flow, since func(*Flow) time.Time) (out []*Flow) {
	slices.SortFunc(flows, func(a, b *Flow) int {
		return cmp.Or(cmp.Compare(d.share(a.holders[0]), d.share(b.holders[0])),
			a.Passed.Compare(b.Passed), byArrival(a, b))
	})
	places, reserved := d.room.Places(), false
	pools := make(map[*Pool]bool)
	for _, f := range flows {
		if !d.within(f) {
			d.keepQuotas(f, since(f))
			continue
		}
		starts := d.room.Starts(f.Needs)
		if starts > 0 && reserved && starts > places ||
			slices.ContainsFunc(f.Needs, func(n Need) bool { return pools[n.Pool] }) ||
			!d.room.soon(f.Needs, since(f)) {
			continue
		}
		places, reserved = places-starts, reserved || starts > 0
		for _, n := range f.Needs {
			pools[n.Pool] = true
		}
		for _, h := range f.holders {
			d.account(h).keep(f)
		}
		out = append(out, f)
	}
	return out
}

// keepQuotas keeps the quotas that a flow lacks, unless something of them is kept for another flow.
func (d *decision) keepQuotas(f *Flow, since time.Time) {
	var lacking []*account
	for _, h := range f.holders {
		if !d.lacks(f, h) {
			continue
		}
		a := d.account(h)
		if len(a.kept) > 0 || !h.soon(f, since) {
			return
		}
		lacking = append(lacking, a)
	}
	if !d.room.soon(f.Needs, since) {
		return
	}
	for _, a := range lacking {
		a.keep(f)
	}
	d.waits = true
}

// admit gives a flow what it needs.
func (d *decision) admit(f *Flow) {
	d.give(f)
	d.spend(f)
}

// give takes what a flow needs from the room.
func (d *decision) give(f *Flow) {
	d.room.take(f.Needs)
	for _, h := range f.holders {
		a := d.account(h)
		a.known = false
		a.given.add(f.Needs)
	}
}

// spend counts what a flow gets towards its quotas.
func (d *decision) spend(f *Flow) {
	for _, h := range f.holders {
		d.account(h).spend(f)
	}
}

// whole is the share of a holder that holds all of a pool, at a weight of 1. Shares are integers, so that they do not
// depend on the order in which they are added up.
const whole = 1_000_000_000

// share returns the dominant share of a holder, by its weight.
func (d *decision) share(h *holder) int {
	a := d.account(h)
	if a.known {
		return a.share
	}
	largest, places := 0, 0
	add := func(p *Pool, slots int) {
		largest = max(largest, slots*whole/max(p.Max*p.Slots, 1))
		places += slots * whole / p.Slots
	}
	for p, slots := range h.slots {
		add(p, slots+a.given[p])
	}
	for p, slots := range a.given {
		if h.slots[p] == 0 {
			add(p, slots)
		}
	}
	a.share, a.known = max(largest, places/max(d.room.limit, 1))/h.weight, true
	return a.share
}

// enter appends the flow of a class at a place to the order, unless it has a reservation or does not fit. It reports
// whether it did.
func (d *decision) enter(c *class, at int, reserved []*Flow) bool {
	for at < len(c.flows) && slices.Contains(reserved, c.flows[at]) {
		at++
	}
	if at == len(c.flows) {
		return false
	}
	e := entry{class: c, at: at}
	fits, cramped := d.fits(e.flow())
	if fits || cramped {
		e.rank = d.rank(c, at)
	}
	if fits {
		d.order = append(d.order, e)
	}
	if cramped {
		d.cramped = append(d.cramped, e)
	}
	return fits
}

func (d *decision) rank(c *class, at int) rank {
	f := c.flows[at]
	return rank{d.share(f.holders[0]), f.Priority, d.share(f.holders[1]), f.Arrived}
}

// A rank orders flows: the smallest share goes first, then the highest priority.
type rank struct {
	tenant   int
	priority int
	user     int
	arrived  uint64
}

func (a rank) compare(b rank) int {
	return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(b.priority, a.priority),
		cmp.Compare(a.user, b.user), cmp.Compare(a.arrived, b.arrived))
}

// An entry is the next flow of a class.
type entry struct {
	class *class
	at    int
	rank  rank
}

func (e entry) flow() *Flow { return e.class.flows[e.at] }

// order implements heap.Interface.
type order []entry

func (o order) Len() int           { return len(o) }
func (o order) Less(i, j int) bool { return o[i].rank.compare(o[j].rank) < 0 }
func (o order) Swap(i, j int)      { o[i], o[j] = o[j], o[i] }
func (o *order) Push(x any)        { *o = append(*o, x.(entry)) }

func (o *order) Pop() any {
	last := len(*o) - 1
	e := (*o)[last]
	*o = (*o)[:last]
	return e
}
