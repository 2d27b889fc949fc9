package validator

import (
	"encoding/json"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
)

// borrow returns a function that makes a state with the same catalogues, policy and limits, and nothing else. It needs no
// lock, and changing what it makes does not change s.
func (s *State) borrow() func() *State {
	s.lent.Store(true)
	limits, policy, catalog, types := s.limits, s.policy, s.catalog, s.types
	return func() *State {
		out := &State{limits: limits, policy: policy, catalog: catalog, changed: map[string]change{}}
		out.types = types
		out.types.changed = map[string]uint64{}
		out.lent.Store(true) // a change of out clones them
		return out
	}
}

// A trial publishes documents in a state of its own.
type trial struct {
	state *State
	room  int    // problems that still fit into the answer
	seq   uint64 // of the last document
}

// check publishes a document unless it has problems.
func (t *trial) check(d contract.CheckDocument) contract.CheckedDocument {
	t.seq++
	switch {
	case (d.Type == nil) == (d.Progdef == nil):
		return t.refused("", problem.List{{
			Code: problem.SchemaMismatch, Message: "exactly one of type and progdef is required",
		}})
	case d.Type != nil:
		return t.checkType(d.Type)
	}
	var named struct{ Name any }
	_ = json.Unmarshal(d.Progdef, &named) // check reports what is wrong
	name, _ := named.Name.(string)
	pinned, problems := t.state.check(contract.Event{Subject: name, Raw: d.Progdef})
	if len(problems) > 0 {
		return t.refused(name, problems)
	}
	t.state.put(name, contract.CatalogEntry{Published: contract.Published{Pinned: pinned}, Seq: t.seq})
	out := contract.CheckedDocument{Name: name, Revision: pinned.Revision}
	if pinned.Document.Flow != nil {
		out.Document = &pinned.Document
	}
	return out
}

func (t *trial) checkType(raw []byte) contract.CheckedDocument {
	doc, problems := t.state.checkType(contract.Event{Raw: raw})
	if len(problems) > 0 {
		return t.refused(doc.Name, problems)
	}
	t.state.reclaim()
	t.state.types.put(doc, t.seq)
	return contract.CheckedDocument{Name: doc.Name}
}

// refused is the result for a document with problems.
func (t *trial) refused(name string, problems problem.List) contract.CheckedDocument {
	n := min(len(problems), t.room)
	t.room -= n
	return contract.CheckedDocument{Name: name, Problems: problems[:n], Omitted: len(problems) - n}
}
