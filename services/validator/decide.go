package validator

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/service/core"
)

// storeKey begins the keys of progdefs whose entries in the bucket are outdated. Names contain no spaces.
const storeKey = "store "

// Decide returns the answer to the first command under a key that has no answer, or the act that stores a change of the
// catalogue.
func Decide(s *State, key string, _ time.Time) (effects []contract.Event, next time.Time) {
	if name, ok := strings.CutPrefix(key, storeKey); ok {
		if s.stored[name] < s.changed[name].seq {
			effects = []contract.Event{{Type: actStore, Subject: name, With: s.entry(name)}}
		}
		return effects, next
	}
	waiting := s.pending[key]
	if len(waiting) == 0 || s.early(waiting[0]) {
		return nil, next
	}
	c := waiting[0]
	answer := s.answer(c)
	answer.Cause, answer.Trace = c.Seq, c.Trace
	return []contract.Event{answer}, next
}

func (s *State) answer(c command) contract.Event {
	switch c.Type {
	case contract.TypeProgdefApply:
		return s.answerApply(c.event())
	case contract.TypeProgdefRemove:
		return s.answerRemove(c.event())
	case contract.TypeTypeApply:
		return s.answerTypeApply(c.event())
	default: // judged when performed, since its document may be large or stored elsewhere
		return contract.Event{Type: contract.TypeFlowValidated, Subject: c.Subject, With: c}
	}
}

// Open returns the keys of all commands without an answer, and of all changes that may not be stored.
func Open(s *State) []string {
	keys := slices.Sorted(maps.Keys(s.pending))
	for _, name := range slices.Sorted(maps.Keys(s.changed)) {
		if s.stored[name] < s.changed[name].seq {
			keys = append(keys, storeKey+name)
		}
	}
	return keys
}

// answerSubmission returns the answer to a submission that is judged now: flow.validated or flow.rejected, or a dead
// letter if the id is taken. A rejection is about the flow, so the one that has the id never gets it. owner is what has
// taken the id, nil if it is free.
func (s *State) answerSubmission(c command, owner *taken) contract.Event {
	var answer contract.Event
	switch {
	case owner == nil && len(c.Problems)+len(c.Exceeded) > 0:
		answer = rejectedFlow(c.Subject, slices.Concat(c.Problems, c.Exceeded))
	case owner == nil:
		answer = s.Judge(c.Subject, c.By, c.Raw)
	case len(c.Problems) == 0 && owner.by(document.Digest(c.Raw), c.By):
		answer = deadLetter(c, resubmitted(c.Subject))
	default:
		answer = deadLetter(c, slices.Concat(c.Problems, problem.List{owner.refuses(c)}))
	}
	answer.Cause, answer.Trace = c.Seq, c.Trace
	return answer
}

func deadLetter(c command, problems problem.List) contract.Event {
	return contract.NewDeadLetter(string(c.Type), c.Seq, problems)
}

// refuses returns the problem of a submission of another flow under the id.
func (t taken) refuses(c command) problem.Problem {
	p := core.Taken(c.Subject)
	if t.Document != "" && t.Owner != c.By {
		p.Message = fmt.Sprintf("flow id %q is taken: another user has a flow with this id", c.Subject)
	}
	return p
}

func resubmitted(id string) problem.List {
	return problem.List{{
		Code:    problem.Resubmitted,
		Message: fmt.Sprintf("flow %q was already submitted with the same document: this is the same submission", id),
		Hint:    "nothing to do; request the flow's status to learn its state",
	}}
}

// Judge returns flow.validated or flow.rejected for a flow document, as if the user submitted it now.
func (s *State) Judge(id, user string, raw []byte) contract.Event {
	return judged(s.known(), s.limits.Flow, id, user, raw)
}

func judged(known flow.Known, limits flow.Limits, id, user string, raw []byte) contract.Event {
	f, pinned, problems := known.Check(raw, limits)
	if len(problems) > 0 {
		return rejectedFlow(id, problems)
	}
	return contract.Event{
		Type: contract.TypeFlowValidated, Subject: id, Opens: true,
		Data: &contract.FlowValidated{Flow: f, Progdefs: pinned, Document: document.Digest(raw), Owner: user},
	}
}

// rejectedFlow must be the first event on the flow's subject, too: a rejection after other events of a flow would
// hide that its id is taken.
func rejectedFlow(id string, problems problem.List) contract.Event {
	return contract.Event{
		Type: contract.TypeFlowRejected, Subject: id, Opens: true, Data: &contract.FlowRejected{Problems: problems},
	}
}

func (s *State) known() flow.Known {
	return flow.Known{Progdefs: s.catalog, Types: s.types.meanings, Refuses: s.policy.Refuses}
}

// lend returns known for use without the lock on the state.
func (s *State) lend() flow.Known {
	s.lent.Store(true)
	return s.known()
}

// reclaim prepares a change of the catalogues: if they are lent, the borrowers keep them as they are.
func (s *State) reclaim() {
	if s.lent.Swap(false) {
		s.catalog, s.types.docs, s.types.meanings = maps.Clone(s.catalog), maps.Clone(s.types.docs), maps.Clone(s.types.meanings)
	}
}

// check reads the progdef document of a progdef.apply. The policy is checked as far as the document can be read.
func (s *State) check(e contract.Event) (progdef.Pinned, problem.List) {
	doc, problems := progdef.Check(e.Raw, s.limits.Progdef)
	if doc.Flow != nil {
		var inside problem.List
		doc, inside = s.checkFlow(doc, len(e.Raw), problems)
		problems = slices.Concat(problems, inside)
	}
	problems = slices.Concat(e.Problems, problems)
	readable := len(problems) == 0
	problems = slices.Concat(problems, s.policy.Refuses(doc)).Sorted()
	if readable && doc.Name != e.Subject {
		problems = append(problems, problem.Problem{
			Code: problem.BadName, Pointer: "/name",
			Message: fmt.Sprintf("the document is named %q, but the event's subject is %q", doc.Name, e.Subject),
			Hint:    "omit the CloudEvents subject, or set it to the progdef's name",
		})
	}
	if _, known := s.catalog[e.Subject]; !known && len(s.catalog) >= s.limits.Progdefs {
		problems = append(problems, problem.Problem{
			Code:    problem.TooMany,
			Message: fmt.Sprintf("the catalogue holds %d progdefs; the limit is %d", len(s.catalog), s.limits.Progdefs),
			Hint:    "remove unused progdefs",
		})
	}
	if len(problems) > 0 {
		return progdef.Pinned{}, problems
	}
	return progdef.Pinned{Revision: doc.Revision(), Document: doc}, nil
}

// checkFlow checks the flow of a progdef whose text has a size, and fills in its ports if it declares none. Ports that
// have problems say nothing about the ends of the flow.
func (s *State) checkFlow(doc progdef.Document, size int, known problem.List) (progdef.Document, problem.List) {
	if slices.ContainsFunc(known, func(p problem.Problem) bool { return !strings.HasPrefix(p.Pointer, "/flow") }) {
		doc.Inputs, doc.Outputs, doc.TypeParams = nil, nil, nil
	}
	declared := len(doc.Inputs) + len(doc.Outputs)
	doc, problems := s.known().Subflow(doc, s.limits.Flow)
	if declared > 0 || len(problems) > 0 {
		return doc, problems
	}
	ports, _ := json.Marshal([]any{doc.Inputs, doc.Outputs}) // they can be encoded
	if size += len(ports); size > s.limits.Progdef.Bytes && len(doc.Inputs)+len(doc.Outputs) > 0 {
		problems = problem.List{{
			Code: problem.TooLarge, Pointer: "/flow",
			Message: fmt.Sprintf("with the inferred ports, the document has %d bytes; the limit is %d", size, s.limits.Progdef.Bytes),
			Hint:    "give the flow fewer open ends",
		}}
	}
	return doc, problems
}

func (s *State) answerApply(e contract.Event) contract.Event {
	pinned, problems := s.check(e)
	if len(problems) > 0 {
		return rejected(e, problems)
	}
	return contract.Event{
		Type: contract.TypeProgdefApplied, Subject: e.Subject,
		Data: &contract.ProgdefApplied{Name: e.Subject, Revision: pinned.Revision, Document: pinned.Document, By: e.By},
	}
}

func (s *State) answerRemove(e contract.Event) contract.Event {
	if len(e.Problems) > 0 {
		return rejected(e, e.Problems)
	}
	if !s.ever(e.Subject) {
		return rejected(e, problem.List{{
			Code: problem.UnknownProgdef, Pointer: "/name",
			Message: fmt.Sprintf("progdef %q not found", e.Subject),
			Hint:    document.Suggest(e.Subject, s.names()),
		}})
	}
	return contract.Event{
		Type: contract.TypeProgdefRemoved, Subject: e.Subject,
		Data: &contract.ProgdefRemoved{Name: e.Subject, By: e.By},
	}
}

func (s *State) names() []string {
	names := make([]string, 0, len(s.catalog))
	for name := range s.catalog {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func rejected(e contract.Event, problems problem.List) contract.Event {
	return contract.Event{
		Type: contract.TypeProgdefRejected, Subject: e.Subject,
		Data: &contract.ProgdefRejected{Name: e.Subject, Problems: problems, By: e.By},
	}
}
