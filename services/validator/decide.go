package validator

import (
	"fmt"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// Decide returns the answer to a command.
func Decide(s State, e contract.Event, _ time.Time) ([]contract.Event, error) {
	switch e.Type {
	case contract.TypeFlowSubmit:
		return s.judge(e), nil
	case contract.TypeProgdefApply:
		return []contract.Event{s.answerApply(e)}, nil
	case contract.TypeProgdefRemove:
		return []contract.Event{s.answerRemove(e)}, nil
	case contract.TypeTypeApply:
		return []contract.Event{s.answerTypeApply(e)}, nil
	default:
		return nil, fmt.Errorf("the validator has no answer to %s", e.Type)
	}
}

func (s State) judge(e contract.Event) []contract.Event {
	if _, same := s.flows[e.Subject]; same {
		return nil // the same flow id is the same submission
	}
	return []contract.Event{s.Judge(e.Subject, e.Raw, e.Seq)}
}

// Judge returns flow.validated or flow.rejected for a flow document, as if it were submitted now.
func (s State) Judge(id string, raw []byte, seq uint64) contract.Event {
	f, pinned, problems := s.known().Check(raw, s.limits.Flow)
	out := contract.Event{Subject: id, MsgID: contract.JudgedID(id, seq)}
	if len(problems) > 0 {
		out.Type, out.Data = contract.TypeFlowRejected, &contract.FlowRejected{Problems: problems}
		return out
	}
	out.Type, out.Once = contract.TypeFlowValidated, true
	out.Data = &contract.FlowValidated{Flow: f, Progdefs: pinned}
	return out
}

func (s State) known() flow.Known {
	return flow.Known{Progdefs: s.catalog, Types: s.types.meanings}
}

// check reads the progdef document of a progdef.apply.
func (s State) check(e contract.Event) (progdef.Pinned, problem.List) {
	doc, problems := progdef.Check(e.Raw, s.limits.Progdef)
	problems = slices.Concat(e.Problems, problems)
	if len(problems) == 0 && doc.Name != e.Subject {
		problems = append(problems, problem.Problem{
			Code: problem.BadName, Pointer: "/name",
			Message: fmt.Sprintf("the document is named %q, the event's subject says %q", doc.Name, e.Subject),
			Hint:    "leave the CloudEvents subject out, or make it the progdef's name",
		})
	}
	if _, known := s.catalog[e.Subject]; !known && len(s.catalog) >= s.limits.Progdefs {
		problems = append(problems, problem.Problem{
			Code:    problem.TooMany,
			Message: fmt.Sprintf("the catalogue holds %d progdefs; the limit is %d", len(s.catalog), s.limits.Progdefs),
			Hint:    "remove progdefs that are no longer used",
		})
	}
	if len(problems) > 0 {
		return progdef.Pinned{}, problems
	}
	return progdef.Pinned{Revision: doc.Revision(), Document: doc}, nil
}

func (s State) answerApply(e contract.Event) contract.Event {
	pinned, problems := s.check(e)
	if len(problems) > 0 {
		return rejected(e, problems)
	}
	return contract.Event{
		Type: contract.TypeProgdefApplied, Subject: e.Subject, MsgID: answerID(e),
		Data: &contract.ProgdefApplied{Name: e.Subject, Revision: pinned.Revision, Document: pinned.Document},
		With: e.Seq,
	}
}

func (s State) answerRemove(e contract.Event) contract.Event {
	if len(e.Problems) > 0 {
		return rejected(e, e.Problems)
	}
	if !s.ever(e.Subject) {
		return rejected(e, problem.List{{
			Code: problem.UnknownProgdef, Pointer: "/name",
			Message: fmt.Sprintf("there is no progdef %q", e.Subject),
			Hint:    document.Suggest(e.Subject, s.names()),
		}})
	}
	return contract.Event{
		Type: contract.TypeProgdefRemoved, Subject: e.Subject, MsgID: answerID(e),
		Data: &contract.ProgdefRemoved{Name: e.Subject},
		With: e.Seq,
	}
}

func (s State) names() []string {
	names := make([]string, 0, len(s.catalog))
	for name := range s.catalog {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func rejected(e contract.Event, problems problem.List) contract.Event {
	return contract.Event{
		Type: contract.TypeProgdefRejected, Subject: e.Subject, MsgID: answerID(e),
		Data: &contract.ProgdefRejected{Name: e.Subject, Problems: problems},
	}
}

// answerID is shared by all possible answers to one command.
func answerID(e contract.Event) string { return fmt.Sprintf("answer.%d", e.Seq) }
