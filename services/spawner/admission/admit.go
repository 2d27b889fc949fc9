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
			d.admit(f)
			out.Admitted = append(out.Admitted, f)
			continue
		case room.cramped(f.Needs):
			out.Cramped = append(out.Cramped, Cramped{Flow: f})
		}
		if room.Places() >= 0 {
			out.Kept = append(out.Kept, f)
		}
		room.keep(f.Needs, q.since(f, now))
		if again := now.Add(q.ReserveAfter); out.Next.IsZero() || again.Before(out.Next) {
			out.Next = again
		}
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
		if f := best.flow(); room.Fits(f.Needs) {
			d.admit(f)
			out.Admitted = append(out.Admitted, f)
			if d.enter(best.class, best.at+1, reserved) {
				heap.Fix(&d.order, len(d.order)-1)
			}
		} else if room.cramped(f.Needs) {
			d.cramped = append(d.cramped, best)
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
		starts := d.room.both.more(e.flow().Needs)
		if starts > most {
			continue
		}
		if out = append(out, Cramped{e.flow(), starts}); len(out) == mostCramped {
			break
		}
	}
	return out
}

// Keep keeps in the room what is reserved, and returns the flows that have a reservation.
func (q *Queue) Keep(now time.Time, room *Room) []*Flow {
	reserved, _ := newDecision(room).reserved(q, now)
	for _, f := range reserved {
		room.keep(f.Needs, q.since(f, now))
	}
	return reserved
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
	room   *Room
	given  map[*holder]map[*Pool]int // by this decision
	shares map[*holder]int           // as far as they are known
	order  order
	// cramped are those that lack nothing but places.
	cramped []entry
}

func newDecision(room *Room) *decision {
	return &decision{room: room, given: make(map[*holder]map[*Pool]int), shares: make(map[*holder]int)}
}

// reserved returns the flows that have a reservation, and when the next one gets one.
func (d *decision) reserved(q *Queue, now time.Time) ([]*Flow, time.Time) {
	due, next := q.due(now)
	return d.reserve(due, func(f *Flow) time.Time { return q.since(f, now) }), next
}

// reserve returns the flows that get a reservation: of those that need slots of the same pool, or places that are
// short, only the first. What a flow lacks must be held by jobs that were granted since a time.
func (d *decision) reserve(flows []*Flow, since func(*Flow) time.Time) (out []*Flow) {
	slices.SortFunc(flows, func(a, b *Flow) int {
		return cmp.Or(cmp.Compare(d.share(a.class.tenant), d.share(b.class.tenant)),
			a.Passed.Compare(b.Passed), byArrival(a, b))
	})
	places, reserved := d.room.Places(), false
	pools := make(map[*Pool]bool)
	for _, f := range flows {
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
		out = append(out, f)
	}
	return out
}

func (d *decision) admit(f *Flow) {
	d.room.take(f.Needs)
	for _, h := range []*holder{f.class.tenant, f.class.user} {
		delete(d.shares, h)
		if d.given[h] == nil {
			d.given[h] = make(map[*Pool]int)
		}
		for _, n := range f.Needs {
			d.given[h][n.Pool] += n.Slots
		}
	}
}

// whole is the share of a holder that holds all of a pool, at a weight of 1. Shares are integers, so that they do not
// depend on the order in which they are added up.
const whole = 1_000_000_000

// share returns the dominant share of a holder, by its weight.
func (d *decision) share(h *holder) int {
	if share, known := d.shares[h]; known {
		return share
	}
	largest, places := 0, 0
	add := func(p *Pool, slots int) {
		largest = max(largest, slots*whole/max(p.Max*p.Slots, 1))
		places += slots * whole / p.Slots
	}
	given := d.given[h]
	for p, slots := range h.slots {
		add(p, slots+given[p])
	}
	for p, slots := range given {
		if h.slots[p] == 0 {
			add(p, slots)
		}
	}
	d.shares[h] = max(largest, places/max(d.room.limit, 1)) / h.weight
	return d.shares[h]
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
	switch e := (entry{class: c, at: at}); {
	case d.room.Fits(e.flow().Needs):
		e.rank = d.rank(c, at)
		d.order = append(d.order, e)
		return true
	case d.room.cramped(e.flow().Needs):
		e.rank = d.rank(c, at)
		d.cramped = append(d.cramped, e)
	}
	return false
}

func (d *decision) rank(c *class, at int) rank {
	f := c.flows[at]
	return rank{d.share(c.tenant), f.Priority, d.share(c.user), f.Arrived}
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
