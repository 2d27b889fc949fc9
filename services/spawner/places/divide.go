package places

import (
	"cmp"
	"math/bits"
	"slices"
	"time"
)

// A Claim is what a tenant has, and what it wants.
type Claim struct {
	// Held is its executors, those included that are starting or draining. Idle are those of them that it does not need:
	// they are draining without a job, or can be drained.
	Held, Idle int
	// Next is how many more its next flow needs, 0 if no flow lacks any. More is how many the flows after that need, Spare
	// how many it would keep for later.
	Next, More, Spare int
	// Seen is the number of the last Grant that it knows.
	Seen int
}

// A Tenant is a tenant with its claim.
type Tenant struct {
	ID     string
	Weight int
	Claim
	// Promised is how many executors it may have as far as it knows: it may be starting them.
	Promised int
	// Since is since when it wants more for a flow.
	Since time.Time
}

// taken is how many places nobody else may get.
func (t Tenant) taken() int { return max(t.Held, t.Promised) }

// share compares what two tenants hold, by weight.
func (t Tenant) share(other Tenant) int {
	return cmp.Compare(t.Held*other.weight(), other.Held*t.weight())
}

func (t Tenant) weight() int { return max(t.Weight, 1) }

func (t Tenant) active() bool { return t.Held > 0 || t.Next > 0 }

// Divide returns how many executors each tenant may have, by its id, of total places. What exceeds what it holds may be
// started; what is below must be given back as soon as it is idle. What was promised is kept for those who want it, and for
// the others until they know that they may have less. A tenant that has waited for patience goes before all
// others for a while.
func Divide(total int, tenants []Tenant, now time.Time, patience time.Duration) map[string]int {
	d := &division{out: make(map[string]int, len(tenants)), total: total, free: total}
	for _, t := range tenants {
		d.out[t.ID] = min(t.taken(), t.Held+t.Next+t.More+t.Spare)
		d.free -= t.taken()
		if t.active() {
			d.weights += t.weight()
		}
	}
	d.line = slices.SortedFunc(slices.Values(tenants), func(a, b Tenant) int {
		return cmp.Or(a.share(b), a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
	d.flows(now, patience)
	if !d.waits {
		d.rest(func(t Tenant) int { return t.Next + t.More })
		d.rest(func(t Tenant) int { return t.Next + t.More + t.Spare })
	}
	return d.out
}

type division struct {
	out     map[string]int
	total   int
	free    int
	weights int // of the tenants that hold or want something
	line    []Tenant
	// given: a tenant below its fair share has received something. waits: a tenant lacks what its next flow needs. closed:
	// no later tenant may receive anything.
	given, waits, closed bool
}

// flows gives what the next flows need, to the tenants in line.
func (d *division) flows(now time.Time, patience time.Duration) {
	for _, t := range d.line {
		first, fair := reserves(now.Sub(t.Since), patience), d.belowFair(t)
		lacks := d.lacks(t, t.Next)
		switch {
		case lacks == 0:
		case d.closed || d.waits && !fair:
		case lacks > d.free:
			if !d.waits {
				d.giveBack(t, lacks-d.free)
			}
			d.waits, d.closed = true, d.closed || first
		case d.given && !fair && !first: // who has just got something below its part may want more
			d.waits = true
		default:
			d.give(t, lacks)
			d.given = d.given || fair
		}
	}
}

// reserves reports whether a tenant goes before all others after this wait: from patience to twice that, from four to
// eight times, and so on. In between, others may use what was kept for it: a job that never ends must not keep places
// idle for ever.
func reserves(waited, patience time.Duration) bool {
	return patience > 0 && bits.Len64(uint64(waited/patience))%2 == 1
}

// belowFair reports whether a tenant has no more than its fair part with what it wants.
func (d *division) belowFair(t Tenant) bool { return (t.Held+t.Next)*d.weights <= d.total*t.weight() }

// lacks returns how many more places a tenant needs to have so many more than it holds.
func (d *division) lacks(t Tenant, more int) int { return max(0, t.Held+more-d.out[t.ID]) }

func (d *division) give(t Tenant, n int) {
	d.out[t.ID] += n
	d.free -= n
}

// giveBack lets the tenants with the largest shares give back so many idle executors for the next flow of another one, if
// there are enough. What is free is kept for it. Who may be starting executors just now has none to give back.
func (d *division) giveBack(needy Tenant, n int) {
	idle := func(t Tenant) int {
		if t.ID == needy.ID || t.Promised > t.Held {
			return 0
		}
		return t.Idle
	}
	sum := 0
	for _, t := range d.line {
		sum += idle(t)
	}
	if sum < n {
		return
	}
	for _, t := range slices.Backward(d.line) {
		back := min(idle(t), n)
		d.out[t.ID] -= back
		n -= back
	}
	d.closed = true
}

// rest divides what is free among the tenants that want so many more, by weight, and then what is left in line.
func (d *division) rest(wanted func(Tenant) int) {
	weights, free := 0, d.free
	for _, t := range d.line {
		if d.lacks(t, wanted(t)) > 0 {
			weights += t.weight()
		}
	}
	for _, t := range d.line {
		if n := d.lacks(t, wanted(t)); n > 0 {
			d.give(t, max(0, min(n, free*t.weight()/weights)))
		}
	}
	for _, t := range d.line {
		d.give(t, max(0, min(d.lacks(t, wanted(t)), d.free)))
	}
}
