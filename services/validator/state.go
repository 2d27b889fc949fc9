package validator

import (
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/flow"
)

// State is the catalogue of progdefs, that of types, and the ids of the flows that were found valid.
type State struct {
	limits  Limits
	catalog flow.Catalog
	// changed is the place in EVENTS of each progdef's last change, removals included.
	changed map[string]uint64
	types   types
	flows   map[string]struct{}
}

// Limits bound the documents.
type Limits struct {
	Flow flow.Limits
	// Progdef bounds the documents of progdefs and of types.
	Progdef document.Limits
	// Progdefs and Types bound the catalogues.
	Progdefs int
	Types    int
}

// DefaultLimits are the documented defaults.
func DefaultLimits() Limits {
	return Limits{
		Flow: flow.DefaultLimits(), Progdef: document.DefaultLimits(), Progdefs: 10_000, Types: 10_000,
	}
}

// NewState returns the state that the stored catalogue begins with.
func NewState(l Limits, stored map[string]contract.CatalogEntry) State {
	s := State{
		limits: l, catalog: flow.Catalog{},
		changed: make(map[string]uint64), types: newTypes(), flows: make(map[string]struct{}),
	}
	for name, e := range stored {
		s.changed[name] = e.Seq
		if !e.Removed {
			s.catalog[name] = e.Pinned
		}
	}
	return s
}

// Evolve returns the state after an event. It changes s in place.
func Evolve(s State, e contract.Event) State {
	switch e.Type {
	case contract.TypeProgdefApply:
		s.apply(e)
	case contract.TypeProgdefRemove:
		if s.ever(e.Subject) && s.newer(e) {
			delete(s.catalog, e.Subject)
		}
	case contract.TypeFlowValidated:
		s.flows[e.Subject] = struct{}{}
	case contract.TypeTypeApply:
		if doc, problems := s.checkType(e); len(problems) == 0 {
			s.types.put(doc, e.Seq)
		}
	}
	return s
}

func (s *State) apply(e contract.Event) {
	pinned, problems := s.check(e)
	if len(problems) == 0 && s.newer(e) {
		s.catalog[e.Subject] = pinned
	}
}

// newer reports whether the event is news to the progdef's entry, and notes it.
func (s *State) newer(e contract.Event) bool {
	if e.Seq <= s.changed[e.Subject] {
		return false
	}
	s.changed[e.Subject] = e.Seq
	return true
}

// ever reports whether the catalogue has ever held the progdef.
func (s *State) ever(name string) bool { return s.changed[name] > 0 }
