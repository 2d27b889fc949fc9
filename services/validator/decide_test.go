package validator

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
)

// log is EVENTS: what is decided is folded behind its cause.
type log struct {
	t *testing.T
	s *State
	n uint64
}

func newLog(t *testing.T, stored map[string]contract.CatalogEntry) *log {
	return &log{t: t, s: NewState(DefaultLimits(), stored), n: 100}
}

// say folds a command and returns the answers.
func (l *log) say(typ contract.Type, subject, document string) []contract.Event {
	l.t.Helper()
	l.n++
	e := contract.Event{Type: typ, Subject: subject, Raw: json.RawMessage(document), Seq: l.n}
	answers := answersTo(l.s, e)
	for _, a := range answers {
		l.n++
		a.Seq, a.Source = l.n, contract.Source(Name)
		Evolve(l.s, a)
	}
	return answers
}

// answersTo folds a command and returns its answers. A submission is judged as it is when it is performed.
func answersTo(s *State, e contract.Event) (answers []contract.Event) {
	for _, key := range Evolve(s, e) {
		effects, _ := Decide(s, key, time.Time{})
		answers = append(answers, effects...)
	}
	for i, a := range answers {
		if c, ok := a.With.(command); ok {
			answers[i] = s.Judge(c.Subject, c.Raw)
			answers[i].Cause = a.Cause
		}
	}
	return answers
}

func (l *log) want(typ contract.Type, subject, document string, answers ...contract.Type) {
	l.t.Helper()
	got := l.say(typ, subject, document)
	if len(got) != len(answers) {
		l.t.Fatalf("%s %s: %d answers, want %v", typ, subject, len(got), answers)
	}
	for i, a := range got {
		if a.Type != answers[i] || a.Subject != subject {
			l.t.Fatalf("%s %s: answer %s of %s, want %s", typ, subject, a.Type, a.Subject, answers[i])
		}
	}
}

func greet(name string) string {
	return fmt.Sprintf(`{"name": %q, "inputs": {"name": "utf8-string"}, "outputs": {"greeting": "utf8-string"}, "command": ["x"]}`, name)
}

const hello = `{"nodes": {"h": {"progdef": "greet", "with": {"name": ["Alice"]}}}, "outputs": {"g": "h.greeting"}}`

func TestCommands(t *testing.T) {
	l := newLog(t, nil)
	l.want(contract.TypeFlowSubmit, "f", hello, contract.TypeFlowRejected)
	l.want(contract.TypeProgdefApply, "greet", greet("greet"), contract.TypeProgdefApplied)
	l.want(contract.TypeProgdefApply, "greet", greet("other"), contract.TypeProgdefRejected)
	l.want(contract.TypeFlowSubmit, "f", hello, contract.TypeFlowValidated)
	l.want(contract.TypeFlowSubmit, "f", hello) // the same submission
	l.want(contract.TypeFlowSubmit, "f", `{"nodes": 5}`)
	l.want(contract.TypeProgdefRemove, "nobody", `{}`, contract.TypeProgdefRejected)
	l.want(contract.TypeProgdefRemove, "greet", `{}`, contract.TypeProgdefRemoved)
	l.want(contract.TypeProgdefRemove, "greet", `{}`, contract.TypeProgdefRemoved)
	l.want(contract.TypeFlowSubmit, "g", hello, contract.TypeFlowRejected)
}

// A progdef counts from its command on: a flow right behind it finds it, before any answer is folded.
func TestProgdefCountsAtOnce(t *testing.T) {
	s := NewState(DefaultLimits(), nil)
	Evolve(s, contract.Event{Type: contract.TypeProgdefApply, Subject: "greet", Raw: []byte(greet("greet")), Seq: 1})
	if e := s.Judge("f", []byte(hello)); e.Type != contract.TypeFlowValidated {
		t.Errorf("%s: %+v", e.Type, e.Data)
	}
}

// What the stored catalogue already holds is not changed by a replay of older commands.
func TestReplayBehindTheStoredCatalogue(t *testing.T) {
	l := newLog(t, nil)
	l.want(contract.TypeProgdefApply, "greet", greet("greet"), contract.TypeProgdefApplied)
	stored := map[string]contract.CatalogEntry{"greet": {Seq: 900, Removed: true}}
	s := NewState(DefaultLimits(), stored)
	Evolve(s, contract.Event{Type: contract.TypeProgdefApply, Subject: "greet", Raw: []byte(greet("greet")), Seq: 101})
	if len(s.catalog) != 0 {
		t.Error("an old command brought a removed progdef back")
	}
}

func TestFullCatalogue(t *testing.T) {
	l := newLog(t, nil)
	l.s.limits.Progdefs = 1
	l.want(contract.TypeProgdefApply, "a", greet("a"), contract.TypeProgdefApplied)
	answer := l.say(contract.TypeProgdefApply, "b", greet("b"))[0]
	if p := answer.Data.(*contract.ProgdefRejected).Problems; len(p) != 1 || p[0].Code != problem.TooMany {
		t.Errorf("problems %v, want too-many", p)
	}
	l.want(contract.TypeProgdefApply, "a", greet("a"), contract.TypeProgdefApplied)
}
