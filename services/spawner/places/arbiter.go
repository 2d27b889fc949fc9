package places

import (
	"sync"
	"time"
)

// An Arbiter divides the places of an installation. It may be used concurrently.
type Arbiter struct {
	total    int
	patience time.Duration

	mu      sync.Mutex
	members map[string]*Member
	grants  int // so far
}

// A Grant says how many executors a tenant may have. Number identifies it.
type Grant struct{ Executors, Number int }

// A Member is a tenant of an Arbiter.
type Member struct {
	arbiter *Arbiter
	granted chan Grant // the latest one, until it is received

	// The arbiter's lock guards these.
	tenant Tenant
	told   Grant
	joined bool
}

// NewArbiter returns an arbiter of so many places. A tenant that has waited for patience goes before others.
func NewArbiter(total int, patience time.Duration) *Arbiter {
	return &Arbiter{total: total, patience: patience, members: make(map[string]*Member)}
}

// Join returns the member for a tenant. What is known of the tenant from an earlier time stays.
func (a *Arbiter) Join(id string, weight int) *Member {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := &Member{arbiter: a, granted: make(chan Grant, 1), told: Grant{Executors: -1}, joined: true, tenant: Tenant{ID: id}}
	if before := a.members[id]; before != nil {
		m.tenant = before.tenant
	}
	m.tenant.Weight = weight
	a.members[id] = m
	a.divide()
	return m
}

// Forget forgets a tenant, which has no executors any more.
func (a *Arbiter) Forget(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.members, id)
	a.divide()
}

// Claim says what the tenant has and wants now.
func (m *Member) Claim(c Claim) {
	m.arbiter.mu.Lock()
	defer m.arbiter.mu.Unlock()
	if !m.joined {
		return
	}
	if c.Next > 0 && m.tenant.Next == 0 || c.Held > m.tenant.Held { // it wants more, or has got what it wanted
		m.tenant.Since = time.Now()
	}
	m.tenant.Claim = c
	if c.Seen == m.told.Number { // it has received the latest grant
		m.tenant.Promised = m.told.Executors
	}
	m.arbiter.divide()
}

// Again decides again: what a tenant gets also depends on how long it has waited.
func (m *Member) Again() {
	m.arbiter.mu.Lock()
	defer m.arbiter.mu.Unlock()
	if m.tenant.Next > 0 {
		m.arbiter.divide()
	}
}

// Granted delivers how many executors the tenant may have, whenever that changes.
func (m *Member) Granted() <-chan Grant { return m.granted }

// Leave ends the membership: the tenant keeps its executors, and wants no more.
func (m *Member) Leave() {
	m.arbiter.mu.Lock()
	defer m.arbiter.mu.Unlock()
	if !m.joined {
		return
	}
	m.joined = false
	m.tenant.Claim = Claim{Held: m.tenant.taken()}
	m.tenant.Promised = m.tenant.Held
	m.arbiter.divide()
}

// divide tells each member what has changed. The caller must hold the lock.
func (a *Arbiter) divide() {
	all := make([]Tenant, 0, len(a.members))
	for _, m := range a.members {
		all = append(all, m.tenant)
	}
	for id, n := range Divide(a.total, all, time.Now(), a.patience) {
		if m := a.members[id]; m.joined && m.told.Executors != n {
			m.tell(n)
		}
	}
}

// tell replaces what the member was told. Until it has answered, nobody else gets what it was promised before.
func (m *Member) tell(n int) {
	m.arbiter.grants++
	m.told = Grant{n, m.arbiter.grants}
	m.tenant.Promised = max(m.tenant.Promised, n)
	select {
	case <-m.granted: // an older one
	default:
	}
	m.granted <- m.told
}
