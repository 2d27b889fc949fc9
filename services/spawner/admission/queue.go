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

	holders [2]*holder // its tenant and its user
	class   *class     // nil while its admission is in flight
}

// A Queue is the flows that wait, and what each owner holds.
type Queue struct {
	// ReserveAfter is how long a flow may have been passed before it reserves what it needs.
	ReserveAfter time.Duration
	// Weight is the weight of a tenant's share; nil if all are equal.
	Weight func(tenant string) int
	// Quotas returns the quotas of an owner's tenant and of the user; nil if nothing is limited.
	Quotas func(Owner) (tenant, user Quota)

	flows map[string]*Flow
	all   Line
	// arrivals are the flows that may be admitted.
	arrivals arrivals
	lines    map[*Pool]Line
	classes  map[string]*class
	list     []*class // the classes
	// passed are the classes whose first flow was passed.
	passed  map[*class]struct{}
	tenants map[string]*holder
	users   map[Owner]*holder
}

// A Line is flows by priority and arrival.
type Line []*Flow

// An arrivals is flows by arrival.
type arrivals []*Flow

// A class is the flows that differ in nothing but their arrival. Only those that may be admitted are in it.
type class struct {
	key   string
	index int // in the list
	flows arrivals
}

// A holder is what a tenant or a user of one holds and waits for.
type holder struct {
	level  string // OfTenant or OfUser
	weight int
	quota  Quota
	// slots and flows are held, also by admissions in flight.
	slots map[*Pool]int
	flows int
	// granted and begun count when slots were granted and flows began. They are kept if the quota bounds any.
	granted map[*Pool]*tally
	begun   tally
	// line are the flows that wait, arrivals those that may be admitted.
	line     Line
	arrivals arrivals
}

// NewQueue returns an empty queue.
func NewQueue(reserveAfter time.Duration) *Queue {
	return &Queue{
		ReserveAfter: reserveAfter, flows: make(map[string]*Flow), lines: make(map[*Pool]Line),
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
	f.holders = q.holdersOf(f.Owner)
	for _, h := range f.holders {
		h.line = h.line.with(f)
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
	for _, h := range f.holders {
		h.line = h.line.without(f)
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
	for _, n := range f.Needs {
		n.Pool.Used += sign * n.Slots
		n.Pool.claimed += sign * n.Slots
	}
	for _, h := range f.holders {
		h.flows += sign
		for _, n := range f.Needs {
			h.count(n.Pool, sign*n.Slots)
		}
	}
}

// Granted removes an admitted flow, whose executors were started and which runs from now on. It notes which flows it has
// passed: those that need slots of the same pools, and those that lack places, which an executor with a job does not
// make free; but of flows that their quotas keep from running only those of which it uses the quota, too.
func (q *Queue) Granted(id string, now time.Time, room *Room) {
	f := q.flows[id]
	if f == nil {
		return
	}
	q.Remove(id)
	d := newDecision(room)
	d.admit(f)
	for _, c := range q.list {
		if first := c.flows[0]; first.Passed.IsZero() && first.Arrived < f.Arrived && d.passes(f, first) {
			first.Passed = now
			q.settle(c)
		}
	}
	q.Live(f.Owner, 1, now)
}

// Hold adds to what an owner holds of a pool slots that were granted at a time, or removes them if the number is
// negative.
func (q *Queue) Hold(o Owner, p *Pool, slots int, granted time.Time) {
	p.hold(slots, granted)
	for _, h := range q.holdersOf(o) {
		h.count(p, slots)
		h.tally(p, slots, granted)
	}
	q.forget(o)
}

// Live adds to the running flows of an owner some that were granted at a time, or removes them if the number is
// negative.
func (q *Queue) Live(o Owner, flows int, granted time.Time) {
	for _, h := range q.holdersOf(o) {
		if h.flows += flows; h.quota.bounds() {
			h.begun.add(granted, flows)
		}
	}
	q.forget(o)
}

// count adds slots to what is held.
func (h *holder) count(p *Pool, slots int) {
	if h.slots[p] += slots; h.slots[p] == 0 {
		delete(h.slots, p)
	}
}

// tally notes when slots were granted.
func (h *holder) tally(p *Pool, slots int, granted time.Time) {
	if !h.quota.bounds() {
		return
	}
	if h.granted[p] == nil {
		h.granted[p] = new(tally)
	}
	if h.granted[p].add(granted, slots); len(*h.granted[p]) == 0 {
		delete(h.granted, p)
	}
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
func (q *Queue) Waiting() int { return len(q.arrivals) }

// Before returns how many of the waiting flows arrived before a flow, without those whose admission is in flight.
func (q *Queue) Before(f *Flow) int { return q.arrivals.before(f) }

// Flows returns the flows that wait, by priority and arrival. The caller must not change the slice.
func (q *Queue) Flows() Line { return q.all }

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

// Line returns the flows that wait for slots of a pool, by priority and arrival. The caller must not change the slice.
func (q *Queue) Line(p *Pool) Line { return q.lines[p] }

// Place returns the place of a waiting flow in a line: 1 for the first.
func (l Line) Place(f *Flow) int {
	at, _ := slices.BinarySearchFunc(l, f, byPriority)
	return at + 1
}

// holdersOf returns the tenant and the user that an owner names.
func (q *Queue) holdersOf(o Owner) [2]*holder {
	tenant, user := q.tenants[o.Tenant], q.users[o]
	if tenant != nil && user != nil {
		return [2]*holder{tenant, user}
	}
	var ofTenant, ofUser Quota
	if q.Quotas != nil {
		ofTenant, ofUser = q.Quotas(o)
	}
	if tenant == nil {
		tenant = newHolder(OfTenant, ofTenant)
		if q.Weight != nil {
			tenant.weight = max(q.Weight(o.Tenant), 1)
		}
		q.tenants[o.Tenant] = tenant
	}
	if user == nil {
		user = newHolder(OfUser, ofUser)
		q.users[o] = user
	}
	return [2]*holder{tenant, user}
}

func newHolder(level string, quota Quota) *holder {
	return &holder{level: level, weight: 1, quota: quota, slots: make(map[*Pool]int), granted: make(map[*Pool]*tally)}
}

// forget drops what is known of an owner who holds nothing and waits for nothing.
func (q *Queue) forget(o Owner) {
	if q.tenants[o.Tenant].idle() {
		delete(q.tenants, o.Tenant)
	}
	if q.users[o].idle() {
		delete(q.users, o)
	}
}

func (h *holder) idle() bool {
	return h != nil && len(h.slots) == 0 && h.flows == 0 && len(h.line) == 0
}

// enter makes a flow one that may be admitted.
func (q *Queue) enter(f *Flow) {
	key := f.classKey()
	c := q.classes[key]
	if c == nil {
		c = &class{key: key, index: len(q.list)}
		q.classes[key] = c
		q.list = append(q.list, c)
	}
	c.flows = c.flows.with(f)
	f.class = c
	q.arrivals = q.arrivals.with(f)
	for _, h := range f.holders {
		h.arrivals = h.arrivals.with(f)
	}
	q.settle(c)
}

// leave makes a flow one that may not be admitted.
func (q *Queue) leave(f *Flow) {
	c := f.class
	if c == nil {
		return
	}
	c.flows = c.flows.without(f)
	f.class = nil
	q.arrivals = q.arrivals.without(f)
	for _, h := range f.holders {
		h.arrivals = h.arrivals.without(f)
	}
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

func (l Line) with(f *Flow) Line    { return with(l, f, byPriority) }
func (l Line) without(f *Flow) Line { return without(l, f, byPriority) }

func (l arrivals) with(f *Flow) arrivals    { return with(l, f, byArrival) }
func (l arrivals) without(f *Flow) arrivals { return without(l, f, byArrival) }

// before returns how many flows arrived before one.
func (l arrivals) before(f *Flow) int {
	at, _ := slices.BinarySearchFunc(l, f, byArrival)
	return at
}

// with returns an ordered list with one more flow.
func with[L ~[]*Flow](l L, f *Flow, order func(a, b *Flow) int) L {
	at, _ := slices.BinarySearchFunc(l, f, order)
	return slices.Insert(l, at, f)
}

// without returns an ordered list without a flow.
func without[L ~[]*Flow](l L, f *Flow, order func(a, b *Flow) int) L {
	at, found := slices.BinarySearchFunc(l, f, order)
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
