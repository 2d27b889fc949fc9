package spawner

import (
	"cmp"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/spawner/admission"
	"github.com/dagyo/dagyo/services/spawner/places"
)

// actClaim says what the tenant has and wants of the installation's places; it is performed, not published. With is a
// places.Claim.
const actClaim contract.Type = "act.claim"

// factPlaces tells how many executors the tenant may have. With is a places.Grant.
const factPlaces contract.Type = "fact.places"

// Sharing makes the state one of several tenants that share the places for executors: none may be started before
// factPlaces.
func (s *State) Sharing() *State {
	s.sharing = &sharing{}
	return s
}

// A sharing is what a tenant has of the places that it shares with others. It is not stored: each leader claims anew.
type sharing struct {
	granted places.Grant
	claimed places.Claim
	known   bool
}

// alone returns how many more executors the limits allow, whatever others have.
func (s *State) alone() int { return s.limits.Executors - len(s.executors) - len(s.starting) }

// places returns how many more executors may be started.
func (s *State) places() int {
	if s.sharing == nil {
		return s.alone()
	}
	return min(s.limits.Executors, s.sharing.granted.Executors) - len(s.executors) - len(s.starting)
}

// fits reports whether a flow would get its capacity now if the tenant were alone.
func (s *State) fits(f *admission.Flow) bool {
	return admission.NewRoom(s.alone(), s.limits.Executors, s.busy).Fits(f.Needs) && f.WithinQuotas()
}

// share gives back idle executors that the tenant may not have any more, and says what it has and wants if that has
// changed.
func (p *plan) share() {
	if p.s.sharing == nil {
		return
	}
	if p.places < 0 {
		p.drainSpare(-p.places, nil)
	}
	if len(p.effects) > 0 {
		return // what it has changes with them
	}
	if c := p.s.claim(p); !p.s.sharing.known || c != p.s.sharing.claimed {
		p.do(contract.Event{Type: actClaim, Subject: keyAdmit, With: c})
	}
}

// claim returns what the tenant has, and what it would start if it were alone.
func (s *State) claim(p *plan) places.Claim {
	idle, leaving := p.idle()
	c := places.Claim{
		Held: len(s.executors) + len(s.starting), Idle: leaving + p.dispensable(idle, nil), Seen: s.sharing.granted.Number,
	}
	alone := newPlan(s, p.now)
	alone.places = s.alone()
	short := alone.startGranted()
	c.Next = int(alone.started) // for jobs that were granted before
	for _, f := range alone.admitted(grants).Admitted {
		alone.grant(f)
		c.Next = cmp.Or(c.Next, int(alone.started))
	}
	c.More = int(alone.started) - c.Next
	for _, r := range short {
		alone.keepMinimum(r)
	}
	c.Spare = int(alone.started) - c.Next - c.More
	return c
}
