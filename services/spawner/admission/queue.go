package admission

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// An Owner is on whose behalf a flow runs.
type Owner struct {
	Tenant string `json:"tenant,omitempty"`
	User   string `json:"user,omitempty"`
}

// A Flow waits for capacity.
type Flow struct {
	ID    string
	Owner Owner
	// Priority orders the flows of a tenant: the highest goes first.
	Priority int
	// Arrived is the flow's place in EVENTS, Since the time of that.
	Arrived uint64
	Since   time.Time
	// Needs has one entry for each pool, in the order of their names.
	Needs []Need
	// Passed is when a flow that arrived later and wants the same went ahead for the first time; zero if none did.
	Passed time.Time

	class *class // nil while its admission is in flight
}

// A Queue is the flows that wait, and what each owner holds.
type Queue struct {
	// ReserveAfter is how long a flow may have been passed before it reserves what it needs.
	ReserveAfter time.Duration
	// Weight is the weight of a tenant's share; nil if all are equal.
	Weight func(tenant string) int

	flows   map[string]*Flow
	claimed int
	all     line
	lines   map[*Pool]line
	classes map[string]*class
	list    []*class // the classes
	// passed are the classes whose first flow was passed.
	passed  map[*class]struct{}
	tenants map[string]*holder
	users   map[Owner]*holder
}

// A line is flows by priority and arrival.
type line []*Flow

// A class is the flows that differ in nothing but their arrival. Only those that may be admitted are in it.
type class struct {
	key          string
	index        int     // in the list
	flows        []*Flow // by arrival
	tenant, user *holder
}

// A holder is what a tenant or a user of one holds and waits for.
type holder struct {
	weight  int
	slots   map[*Pool]int
	waiting int
}

// NewQueue returns an empty queue.
func NewQueue(reserveAfter time.Duration) *Queue {
	return &Queue{
		ReserveAfter: reserveAfter, flows: make(map[string]*Flow), lines: make(map[*Pool]line),
		classes: make(map[string]*class), passed: make(map[*class]struct{}),
		tenants: make(map[string]*holder), users: make(map[Owner]*holder),
	}
}

// Add adds a flow that is to wait. It may be admitted.
func (q *Queue) Add(f *Flow) {
	q.flows[f.ID] = f
	q.all = q.all.with(f)
	for _, n := range f.Needs {
		q.lines[n.Pool] = q.lines[n.Pool].with(f)
	}
	for _, h := range q.holdersOf(f.Owner) {
		h.waiting++
	}
	q.enter(f)
}

// Remove removes a flow that waits no longer.
func (q *Queue) Remove(id string) {
	f := q.flows[id]
	if f == nil {
		return
	}
	q.Claim(id, false)
	q.leave(f)
	delete(q.flows, id)
	q.all = q.all.without(f)
	for _, n := range f.Needs {
		if q.lines[n.Pool] = q.lines[n.Pool].without(f); len(q.lines[n.Pool]) == 0 {
			delete(q.lines, n.Pool)
		}
	}
	for _, h := range q.holdersOf(f.Owner) {
		h.waiting--
	}
	q.forget(f.Owner)
}

// Claim sets what a flow needs aside for it while its admission is in flight, or ends that: the flow may then be
// admitted again.
func (q *Queue) Claim(id string, begins bool) {
	f := q.flows[id]
	if f == nil || begins == (f.class == nil) {
		return
	}
	sign := 1
	if begins {
		q.leave(f)
	} else {
		q.enter(f)
		sign = -1
	}
	q.claimed += sign
	for _, n := range f.Needs {
		n.Pool.Used += sign * n.Slots
		n.Pool.claimed += sign * n.Slots
		q.count(f.Owner, n.Pool, sign*n.Slots)
	}
}

// Granted removes an admitted flow, whose executors were started, and notes which flows it has passed: those that need
// slots of the same pools, and those that lack places, which an executor with a job does not make free.
func (q *Queue) Granted(id string, now time.Time, room *Room) {
	f := q.flows[id]
	if f == nil {
		return
	}
	for _, c := range q.list {
		first := c.flows[0]
		if first != f && first.Passed.IsZero() && first.Arrived < f.Arrived &&
			(touch(first.Needs, f.Needs) || !room.places(first.Needs)) {
			first.Passed = now
			q.settle(c)
		}
	}
	q.Remove(id)
}

// Hold adds to what an owner holds of a pool slots that were granted at a time, or removes them if the number is
// negative.
func (q *Queue) Hold(o Owner, p *Pool, slots int, granted time.Time) {
	p.hold(slots, granted)
	q.count(o, p, slots)
}

// count adds to the share of an owner.
func (q *Queue) count(o Owner, p *Pool, slots int) {
	for _, h := range q.holdersOf(o) {
		if h.slots[p] += slots; h.slots[p] == 0 {
			delete(h.slots, p)
		}
	}
	q.forget(o)
}

// Restore sets when a waiting flow was passed.
func (q *Queue) Restore(id string, passed time.Time) {
	if f := q.flows[id]; f != nil {
		f.Passed = passed
		q.settle(f.class)
	}
}

// Flow returns a waiting flow, nil if there is none with this id.
func (q *Queue) Flow(id string) *Flow { return q.flows[id] }

// Claimed reports whether the admission of a waiting flow is in flight.
func (f *Flow) Claimed() bool { return f.class == nil }

// Waiting returns how many flows wait, without those whose admission is in flight.
func (q *Queue) Waiting() int { return len(q.all) - q.claimed }

// Flows returns the flows that wait, by priority and arrival. The caller must not change the slice.
func (q *Queue) Flows() []*Flow { return q.all }

// Pools returns the pools that flows wait for, in the order of their names.
func (q *Queue) Pools() []*Pool {
	out := make([]*Pool, 0, len(q.lines))
	for p := range q.lines {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *Pool) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// Wanted reports whether a flow waits for slots of a pool.
func (q *Queue) Wanted(p *Pool) bool { return len(q.lines[p]) > 0 }

// Line returns the flows that wait for slots of a pool, by priority and arrival; those of all pools if it is nil. The
// caller must not change the slice.
func (q *Queue) Line(p *Pool) []*Flow {
	if p == nil {
		return q.all
	}
	return q.lines[p]
}

// Place returns the place of a waiting flow in the line for a pool: 1 for the first.
func (q *Queue) Place(f *Flow, p *Pool) int {
	at, _ := slices.BinarySearchFunc(q.Line(p), f, byPriority)
	return at + 1
}

// holdersOf returns the tenant and the user that an owner names.
func (q *Queue) holdersOf(o Owner) [2]*holder {
	tenant, user := q.tenants[o.Tenant], q.users[o]
	if tenant == nil {
		tenant = &holder{weight: 1, slots: make(map[*Pool]int)}
		if q.Weight != nil {
			tenant.weight = max(q.Weight(o.Tenant), 1)
		}
		q.tenants[o.Tenant] = tenant
	}
	if user == nil {
		user = &holder{weight: 1, slots: make(map[*Pool]int)}
		q.users[o] = user
	}
	return [2]*holder{tenant, user}
}

// forget drops what is known of an owner who holds nothing and waits for nothing.
func (q *Queue) forget(o Owner) {
	if h := q.tenants[o.Tenant]; len(h.slots) == 0 && h.waiting == 0 {
		delete(q.tenants, o.Tenant)
	}
	if h := q.users[o]; len(h.slots) == 0 && h.waiting == 0 {
		delete(q.users, o)
	}
}

// enter makes a flow one that may be admitted.
func (q *Queue) enter(f *Flow) {
	key := f.classKey()
	c := q.classes[key]
	if c == nil {
		h := q.holdersOf(f.Owner)
		c = &class{key: key, index: len(q.list), tenant: h[0], user: h[1]}
		q.classes[key] = c
		q.list = append(q.list, c)
	}
	at, _ := slices.BinarySearchFunc(c.flows, f, byArrival)
	c.flows = slices.Insert(c.flows, at, f)
	f.class = c
	q.settle(c)
}

// leave makes a flow one that may not be admitted.
func (q *Queue) leave(f *Flow) {
	c := f.class
	if c == nil {
		return
	}
	if at, found := slices.BinarySearchFunc(c.flows, f, byArrival); found {
		c.flows = slices.Delete(c.flows, at, at+1)
	}
	f.class = nil
	q.settle(c)
	if len(c.flows) > 0 {
		return
	}
	delete(q.classes, c.key)
	last := q.list[len(q.list)-1]
	q.list[c.index], last.index = last, c.index
	q.list[len(q.list)-1] = nil
	q.list = q.list[:len(q.list)-1]
}

// settle notes whether the first flow of a class was passed.
func (q *Queue) settle(c *class) {
	if len(c.flows) > 0 && !c.flows[0].Passed.IsZero() {
		q.passed[c] = struct{}{}
	} else {
		delete(q.passed, c)
	}
}

func (f *Flow) classKey() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d\x00%s\x00%s", f.Priority, f.Owner.Tenant, f.Owner.User)
	for _, n := range f.Needs {
		fmt.Fprintf(&b, "\x00%s*%d", n.Pool.Name, n.Slots)
	}
	return b.String()
}

func byArrival(a, b *Flow) int { return cmp.Compare(a.Arrived, b.Arrived) }

func byPriority(a, b *Flow) int {
	return cmp.Or(cmp.Compare(b.Priority, a.Priority), byArrival(a, b))
}

func (l line) with(f *Flow) line {
	at, _ := slices.BinarySearchFunc(l, f, byPriority)
	return slices.Insert(l, at, f)
}

func (l line) without(f *Flow) line {
	at, found := slices.BinarySearchFunc(l, f, byPriority)
	if !found {
		return l
	}
	return slices.Delete(l, at, at+1)
}

// touch reports whether two flows need slots of the same pool.
func touch(a, b []Need) bool {
	for len(a) > 0 && len(b) > 0 {
		switch c := cmp.Compare(a[0].Pool.Name, b[0].Pool.Name); {
		case c == 0:
			return true
		case c < 0:
			a = a[1:]
		default:
			b = b[1:]
		}
	}
	return false
}
