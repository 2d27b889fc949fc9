package validator

import (
	"fmt"
	"maps"
	"slices"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/typedoc"
)

// types is the type catalogue.
type types struct {
	docs map[string]typedoc.Document
	// changed is the place in EVENTS of each document's last change.
	changed map[string]uint64
	// meanings holds a short description of each type, for messages.
	meanings map[string]string
}

func newTypes() types {
	t := types{
		docs: map[string]typedoc.Document{}, changed: map[string]uint64{},
		meanings: typedoc.Summaries(),
	}
	for _, d := range typedoc.Builtins() {
		t.docs[d.Name] = d
	}
	return t
}

// put stores a document unless a later one is known.
func (t types) put(d typedoc.Document, seq uint64) {
	if seq <= t.changed[d.Name] {
		return
	}
	t.changed[d.Name] = seq
	t.docs[d.Name], t.meanings[d.Name] = d, d.Summary()
}

func (t types) names() []string { return slices.Sorted(maps.Keys(t.docs)) }

// WithTypes returns the state with a stored type catalogue.
func (s *State) WithTypes(stored map[string]contract.TypeEntry) *State {
	s.reclaim()
	for _, e := range stored {
		s.types.put(e.Document, e.Seq)
	}
	return s
}

// checkType reads the document of a type.apply.
func (s *State) checkType(e contract.Event) (typedoc.Document, problem.List) {
	doc, problems := typedoc.Check(e.Raw, s.limits.Progdef)
	problems = slices.Concat(e.Problems, problems)
	if _, known := s.types.docs[doc.Name]; !known && len(s.types.docs) >= s.limits.Types {
		problems = append(problems, problem.Problem{
			Code: problem.TooMany,
			Message: fmt.Sprintf("the type catalogue holds %d types; the limit is %d",
				len(s.types.docs), s.limits.Types),
			Hint: "document fewer types, or raise the validator's limit",
		})
	}
	return doc, problems
}

func (s *State) answerTypeApply(e contract.Event) contract.Event {
	doc, problems := s.checkType(e)
	out := contract.Event{Subject: e.Subject}
	if len(problems) > 0 {
		out.Type = contract.TypeTypeRejected
		out.Data = &contract.TypeRejected{Name: doc.Name, Problems: problems, By: e.By}
		return out
	}
	out.Type = contract.TypeTypeApplied
	out.Data = &contract.TypeApplied{Name: doc.Name, Document: doc, By: e.By}
	return out
}
