package admission

import (
	"slices"
	"time"
)

// A Pool is the executors of one mailbox and their slots.
type Pool struct {
	// Name orders pools.
	Name string
	// Slots is how many jobs an executor runs at a time, Max how many executors there may be.
	Slots, Max int
	// Live and Draining count the executors that there are. A draining one takes no more jobs.
	Live, Draining int
	// Used counts the granted jobs that run on live executors or wait for one.
	Used int

	// held are the times at which the slots were granted that are not free, on draining executors too, as Unix
	// milliseconds in order; claimed counts the slots of admissions in flight.
	held    []int64
	claimed int
}

// hold adds slots that were granted at a time, or removes them if the number is negative.
func (p *Pool) hold(slots int, granted time.Time) {
	at, _ := slices.BinarySearch(p.held, granted.UnixMilli())
	if slots < 0 {
		at = min(at, len(p.held)+slots) // an earlier version did not store the time
		p.held = slices.Delete(p.held, at, at-slots)
		return
	}
	p.held = slices.Insert(p.held, at, slices.Repeat([]int64{granted.UnixMilli()}, slots)...)
}

// older returns how many slots were granted before a time.
func (p *Pool) older(since time.Time) int {
	at, _ := slices.BinarySearch(p.held, since.UnixMilli())
	return at
}

// young reports whether the n slots that were granted last were granted since a time.
func (p *Pool) young(n int, since time.Time) bool {
	n = min(n-p.claimed, len(p.held))
	return n <= 0 || p.held[len(p.held)-n] >= since.UnixMilli()
}

// surplus returns how many executors become idle when all jobs end that were granted since a time, without those for
// so many jobs of one's own.
func (p *Pool) surplus(own int, since time.Time) int {
	return max(0, p.Live+p.Draining+p.starts(own)-p.executors(own)-p.older(since))
}

// A Need is a number of slots of a pool.
type Need struct {
	Pool  *Pool
	Slots int
}

// A Room is the capacity while a decision is made: that of the pools, without what the decision has taken and kept.
type Room struct {
	// Idle returns how many executors are idle, nil if nobody is to make room.
	Idle func() int
	// free is how many executors may still be started in all pools together, limit how many there may be.
	free, limit int
	// list returns the pools that have executors, in the order of their names; busy is its result once it is known.
	list        func() []*Pool
	busy        []*Pool
	taken, both demand
	// ending is how many executors become idle when all jobs end that were granted since a time, as far as it is known.
	ending map[time.Time]int
}

// A demand is what a decision gives: only to the flows that it admits, or also to those that it keeps something for.
type demand struct {
	slots  map[*Pool]int
	starts int // executors that must be started
}

// NewRoom returns the room in which that many more executors may be started, out of limit. busy returns the pools that
// have executors, in the order of their names.
func NewRoom(free, limit int, busy func() []*Pool) *Room {
	return &Room{
		free: free, limit: limit, list: busy, ending: make(map[time.Time]int),
		taken: demand{slots: make(map[*Pool]int)}, both: demand{slots: make(map[*Pool]int)},
	}
}

// pools returns the pools that have executors. Few decisions need them.
func (r *Room) pools() []*Pool {
	if r.list != nil {
		r.busy, r.list = r.list(), nil
	}
	return r.busy
}

// Free returns the number of slots that a pool can still provide, with all executors that it may have. It is negative
// when more is kept than there is.
func (r *Room) Free(p *Pool) int { return (p.Max-p.Draining)*p.Slots - p.Used - r.both.slots[p] }

// Kept returns how many slots of a pool are kept for flows with a reservation.
func (r *Room) Kept(p *Pool) int { return r.both.slots[p] - r.taken.slots[p] }

// Places returns how many more executors may be started, without those that are kept for flows with a reservation. It
// is negative when more are kept than there are.
func (r *Room) Places() int { return r.free - r.both.starts }

// Starts returns how many executors must be started for what is needed.
func (r *Room) Starts(needs []Need) int { return r.taken.more(needs) }

// Fits reports whether there is all that is needed.
func (r *Room) Fits(needs []Need) bool { return r.slots(needs) && r.places(needs) }

// cramped reports whether nothing is lacking but places for executors.
func (r *Room) cramped(needs []Need) bool { return r.slots(needs) && !r.places(needs) }

func (r *Room) slots(needs []Need) bool {
	for _, n := range needs {
		if r.Free(n.Pool) < n.Slots {
			return false
		}
	}
	return true
}

// places reports whether the executors can be started that are needed, and afterwards those that are kept.
func (r *Room) places(needs []Need) bool {
	taken, both := r.taken.more(needs), r.both.more(needs)
	return (taken == 0 || r.taken.starts+taken <= r.free) && (both == 0 || r.both.starts+both <= r.free)
}

func (r *Room) take(needs []Need) {
	r.taken.add(needs)
	r.both.add(needs)
}

// soon reports whether there will be all that is needed when the jobs end that were granted since a time.
func (r *Room) soon(needs []Need, since time.Time) bool {
	for _, n := range needs {
		if lacking := n.Slots - r.Free(n.Pool); lacking > 0 && !n.Pool.young(lacking, since) {
			return false
		}
	}
	lacking := r.both.more(needs) - r.Places()
	if lacking <= 0 {
		return true
	}
	if _, known := r.ending[since]; !known {
		for _, p := range r.pools() {
			r.ending[since] += p.surplus(0, since)
		}
	}
	idle := r.ending[since]
	for _, n := range needs {
		idle += n.Pool.surplus(n.Slots, since) - n.Pool.surplus(0, since)
	}
	return lacking <= idle
}

// keep takes what is needed from others, whether it is free or not. Where places are lacking, executors must become
// idle: the first pools that have enough jobs granted since a time are closed, so that no more jobs come to them.
func (r *Room) keep(needs []Need, since time.Time) {
	r.both.add(needs)
	lacking := -r.Places()
	if lacking <= 0 {
		return
	}
	for _, p := range r.pools() {
		if lacking <= 0 {
			return
		}
		own := 0
		if at := slices.IndexFunc(needs, func(n Need) bool { return n.Pool == p }); at >= 0 {
			own = needs[at].Slots
		}
		if surplus := p.surplus(own, since); surplus > 0 {
			r.both.slots[p] += max(0, r.Free(p))
			lacking -= surplus
		}
	}
}

// more returns how many more executors must be started if this is needed, too.
func (d *demand) more(needs []Need) (n int) {
	for _, x := range needs {
		n += x.Pool.starts(d.slots[x.Pool]+x.Slots) - x.Pool.starts(d.slots[x.Pool])
	}
	return n
}

func (d *demand) add(needs []Need) {
	d.starts += d.more(needs)
	for _, n := range needs {
		d.slots[n.Pool] += n.Slots
	}
}

// starts returns how many executors must be started for so many more jobs. Jobs that wait until others have ended need
// none.
func (p *Pool) starts(jobs int) int {
	have := max(p.executors(p.Used), p.Live)
	return max(0, min(p.executors(p.Used+jobs), p.Max-p.Draining)-have)
}

// executors returns how many executors hold that many jobs.
func (p *Pool) executors(jobs int) int { return (jobs + p.Slots - 1) / p.Slots }
