package admission

import (
	"cmp"
	"slices"
	"time"
)

// A Quota bounds what a tenant or a user holds and waits for; 0 is no limit.
type Quota struct {
	// Flows bounds the flows that run, Waiting those that wait.
	Flows, Waiting int
	// Slots bounds the slots that the flows hold, Executors the executors that these slots fill: of each pool, the slots
	// divided by those of an executor, rounded up. Which executors happen to run the jobs does not matter: that is
	// chance, and an executor may run jobs of several users.
	Slots, Executors int
}

// What a quota bounds.
const (
	OfFlows     = "flows"
	OfWaiting   = "waiting"
	OfSlots     = "slots"
	OfExecutors = "executors"
)

// Whose quota it is.
const (
	OfTenant = "tenant"
	OfUser   = "user"
)

// bounds reports whether the quota can keep a flow from running.
func (q Quota) bounds() bool { return q.Flows > 0 || q.Slots > 0 || q.Executors > 0 }

// A use is how much of a quota is in use.
type use struct{ flows, slots, executors int }

func (u use) plus(v use) use {
	return use{u.flows + v.flows, u.slots + v.slots, u.executors + v.executors}
}

func (u use) within(q Quota) bool {
	return (q.Flows == 0 || u.flows <= q.Flows) && (q.Slots == 0 || u.slots <= q.Slots) &&
		(q.Executors == 0 || u.executors <= q.Executors)
}

// add adds slots of a pool to those of it that are in use.
func (u *use) add(p *Pool, used, slots int) {
	u.slots += slots
	u.executors += p.executors(used+slots) - p.executors(used)
}

// A Lack is a quota that a flow would exceed.
type Lack struct {
	// Of is OfTenant or OfUser, What is one of the things that a quota bounds.
	Of, What string
	// Needed is what the flow adds to what its tenant or user holds. Kept is kept for others of their flows.
	Needed, Held, Kept, Limit int
	// Line is the flows of the tenant or user that wait.
	Line Line
}

// lacks returns what is exceeded when a flow adds to what is held and kept.
func (h *holder) lacks(needed, held, kept use) (out []Lack) {
	add := func(what string, needed, held, kept, limit int) {
		if limit > 0 && held+kept+needed > limit {
			out = append(out, Lack{Of: h.level, What: what, Needed: needed, Held: held, Kept: kept, Limit: limit, Line: h.line})
		}
	}
	add(OfFlows, needed.flows, held.flows, kept.flows, h.quota.Flows)
	add(OfSlots, needed.slots, held.slots, kept.slots, h.quota.Slots)
	add(OfExecutors, needed.executors, held.executors, kept.executors, h.quota.Executors)
	return out
}

// Exceeds returns the quotas that a flow exceeds by itself: it can never run.
func (f *Flow) Exceeds() (out []Lack) {
	alone := use{flows: 1}
	for _, n := range f.Needs {
		alone.add(n.Pool, 0, n.Slots)
	}
	for _, h := range f.holders {
		out = append(out, h.lacks(alone, use{}, use{})...)
	}
	return out
}

// Crowds returns the quotas on waiting flows that those that arrived before a flow fill.
func (f *Flow) Crowds() (out []Lack) {
	for _, h := range f.holders {
		if before, most := h.arrivals.before(f), h.quota.Waiting; most > 0 && before >= most {
			out = append(out, Lack{Of: h.level, What: OfWaiting, Needed: 1, Held: before, Limit: most, Line: h.line})
		}
	}
	return out
}

// WithinQuotas reports whether the quotas of a flow's tenant and user leave room for it, without what is reserved.
func (f *Flow) WithinQuotas() bool { return newDecision(nil).within(f) }

// A Reserved is what is reserved in a room and in quotas.
type Reserved struct {
	// Flows have a reservation on all that they need.
	Flows    []*Flow
	decision *decision
}

// Lacks returns the quotas that leave no room for a flow.
func (r Reserved) Lacks(f *Flow) (out []Lack) {
	for _, h := range f.holders {
		if !h.quota.bounds() {
			continue
		}
		a := r.decision.account(h)
		if slices.Contains(a.kept, f) { // what is kept for the flow itself does not count
			others := a.kept
			a = newAccount(h)
			for _, g := range others {
				if g != f {
					a.keep(g)
				}
			}
		}
		kept := use{a.use.flows - a.held.flows, a.use.slots - a.held.slots, a.use.executors - a.held.executors}
		out = append(out, h.lacks(a.more(f), a.held, kept)...)
	}
	return out
}

// Blocks reports whether quotas keep a flow from running that another flow does not share: then it is not ahead of that.
func (r Reserved) Blocks(f, other *Flow) bool {
	for i, h := range f.holders {
		if h != other.holders[i] && r.decision.lacks(f, h) {
			return true
		}
	}
	return false
}

// An account is what a tenant or user has in a decision.
type account struct {
	*holder
	// given is what the decision gives, both also what it keeps.
	given, both amounts
	// held is how much of the quota is in use, use how much with both; unknown if the quota bounds nothing.
	held, use use
	// kept are the flows for which a part of the quota is kept.
	kept []*Flow
	// share is the dominant share, if it is known.
	share int
	known bool
}

func newAccount(h *holder) *account {
	a := &account{holder: h}
	if h.quota.bounds() {
		a.held.flows = h.flows
		for p, slots := range h.slots {
			a.held.add(p, 0, slots)
		}
		a.use = a.held
	}
	return a
}

// more returns how much more of the quota is in use with a flow.
func (a *account) more(f *Flow) use {
	u := use{flows: 1}
	for _, n := range f.Needs {
		u.add(n.Pool, a.slots[n.Pool]+a.both[n.Pool], n.Slots)
	}
	return u
}

// lacks reports whether the quota leaves no room for a flow.
func (a *account) lacks(f *Flow) bool { return !a.use.plus(a.more(f)).within(a.quota) }

// spend counts what a flow gets, or what is kept for it, towards the quota.
func (a *account) spend(f *Flow) {
	if !a.quota.bounds() {
		return
	}
	a.use = a.use.plus(a.more(f))
	a.both.add(f.Needs)
}

// An amounts is numbers of slots; nil is none.
type amounts map[*Pool]int

func (m *amounts) add(needs []Need) {
	if *m == nil {
		*m = make(amounts, len(needs))
	}
	for _, n := range needs {
		(*m)[n.Pool] += n.Slots
	}
}

// keep keeps a part of the quota for a flow.
func (a *account) keep(f *Flow) {
	a.spend(f)
	a.kept = append(a.kept, f)
}

// soon reports whether the quota leaves room for a flow when all flows end that were granted since a time.
func (h *holder) soon(f *Flow, since time.Time) bool {
	left := use{flows: h.begun.before(since) + 1}
	for p, t := range h.granted {
		left.add(p, 0, t.before(since))
	}
	for _, n := range f.Needs {
		used := 0
		if t := h.granted[n.Pool]; t != nil {
			used = t.before(since)
		}
		left.add(n.Pool, used, n.Slots)
	}
	return left.within(h.quota)
}

// A tally counts what was granted, by the second: there are fewer of those than grants.
type tally []grants

type grants struct {
	second int64
	n      int
}

// add adds what was granted at a time, or removes it if the number is negative.
func (t *tally) add(granted time.Time, n int) {
	second := granted.Unix()
	at, found := t.find(second)
	if !found {
		*t = slices.Insert(*t, at, grants{second, n})
	} else if (*t)[at].n += n; (*t)[at].n == 0 {
		*t = slices.Delete(*t, at, at+1)
	}
}

// before counts what was granted in seconds before that of a time.
func (t tally) before(since time.Time) (n int) {
	at, _ := t.find(since.Unix())
	for _, g := range t[:at] {
		n += g.n
	}
	return n
}

func (t tally) find(second int64) (int, bool) {
	return slices.BinarySearchFunc(t, second, func(g grants, second int64) int { return cmp.Compare(g.second, second) })
}

// A Holding is what a tenant or a user holds and waits for. Of a tenant, Owner has no user.
type Holding struct {
	Owner Owner
	// Flows run, Waiting flows wait. Executors are those that the slots fill.
	Flows, Waiting, Slots, Executors int
}

// Holdings returns what each tenant and each user holds and waits for, sorted by name. Those with nothing are left out.
func (q *Queue) Holdings() (tenants, users []Holding) {
	for name, h := range q.tenants {
		if !h.idle() {
			tenants = append(tenants, h.holding(Owner{Tenant: name}))
		}
	}
	for o, h := range q.users {
		if !h.idle() {
			users = append(users, h.holding(o))
		}
	}
	byName := func(a, b Holding) int {
		return cmp.Or(cmp.Compare(a.Owner.Tenant, b.Owner.Tenant), cmp.Compare(a.Owner.User, b.Owner.User))
	}
	slices.SortFunc(tenants, byName)
	slices.SortFunc(users, byName)
	return tenants, users
}

func (h *holder) holding(o Owner) Holding {
	out := Holding{Owner: o, Flows: h.flows, Waiting: len(h.line)}
	for p, slots := range h.slots {
		out.Slots += slots
		out.Executors += p.executors(slots)
	}
	return out
}
