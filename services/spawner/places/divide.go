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
	// Next is how many more its next flow needs, 0 if no flow lacks any. Spare is how many more it would keep for later.
	Next, Spare int
}

// A Tenant is a tenant with its claim.
type Tenant struct {
	ID     string
	Weight int
	Claim
	// Since is since when it wants more for a flow.
	Since time.Time
}

// share compares what two tenants hold, by weight.
func (t Tenant) share(other Tenant) int {
	return cmp.Compare(t.Held*other.weight(), other.Held*t.weight())
}

func (t Tenant) weight() int { return max(t.Weight, 1) }

func (t Tenant) active() bool { return t.Held > 0 || t.Next > 0 }

// Divide returns how many executors each tenant may have, by its id, of total places. What exceeds what it holds may be
// started; what is below must be given back as soon as it is idle. A tenant that has waited for patience goes before all
// others for a while.
func Divide(total int, tenants []Tenant, now time.Time, patience time.Duration) map[string]int {
	d := &division{out: make(map[string]int, len(tenants)), total: total, free: total}
	for _, t := range tenants {
		d.out[t.ID] = t.Held
		d.free -= t.Held
		if t.active() {
			d.weights += t.weight()
		}
	}
	d.line = slices.SortedFunc(slices.Values(tenants), func(a, b Tenant) int {
		return cmp.Or(a.share(b), a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID))
	})
	d.flows(now, patience)
	if !d.waits {
		d.spares()
	}
	return d.out
}

type division struct {
	out     map[string]int
	total   int
	free    int
	weights int // of the tenants that hold or want something
	line    []Tenant
	// given is set once a tenant below its part has got something, waits once one does not get what its next flow needs,
	// closed once nobody after that may get more.
	given, waits, closed bool
}

// flows gives what the next flows need, to the tenants in line.
func (d *division) flows(now time.Time, patience time.Duration) {
	for _, t := range d.line {
		first, fair := reserves(now.Sub(t.Since), patience), d.belowFair(t)
		switch {
		case t.Next == 0:
		case d.closed || d.waits && !fair:
		case t.Next > d.free:
			if !d.waits {
				d.giveBack(t)
			}
			d.waits, d.closed = true, d.closed || first
		case d.given && !fair && !first: // who has just got something below its part may want more
			d.waits = true
		default:
			d.free -= t.Next
			d.out[t.ID] += t.Next
			d.given = d.given || fair
		}
	}
}

// reserves reports whether a tenant that has waited for so long goes before all others: from patience to twice that, from
// four to eight times, and so on. Nobody knows when a job ends. So what is kept idle in vain for a tenant that waits for
// one that never ends is bounded, and a time comes that is long enough for all that do end.
func reserves(waited, patience time.Duration) bool {
	return patience > 0 && bits.Len64(uint64(waited/patience))%2 == 1
}

// belowFair reports whether a tenant has no more than its fair part with what it wants.
func (d *division) belowFair(t Tenant) bool { return (t.Held+t.Next)*d.weights <= d.total*t.weight() }

// giveBack lets the tenants with the largest shares give back idle executors for the next flow of another one, if there
// are enough. What is free is kept for it.
func (d *division) giveBack(needy Tenant) {
	lacking := needy.Next - d.free
	idle := 0
	for _, t := range d.line {
		if t.ID != needy.ID {
			idle += t.Idle
		}
	}
	if idle < lacking {
		return
	}
	for _, t := range slices.Backward(d.line) {
		if t.ID == needy.ID {
			continue
		}
		n := min(t.Idle, lacking)
		d.out[t.ID] -= n
		lacking -= n
	}
	d.free = 0
	d.closed = true
}

// spares gives what is left for later.
func (d *division) spares() {
	for _, t := range d.line {
		n := max(0, min(t.Spare, d.free))
		d.out[t.ID] += n
		d.free -= n
	}
}
