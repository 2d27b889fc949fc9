package validator

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
)

// log simulates EVENTS: decided events are folded after their cause.
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

// answersTo folds a command and returns its answers. A submission is judged as when it is performed.
func answersTo(s *State, e contract.Event) (answers []contract.Event) {
	for _, key := range Evolve(s, e) {
		effects, _ := Decide(s, key, time.Time{})
		answers = append(answers, effects...)
	}
	for i, a := range answers {
		if c, ok := a.With.(command); ok {
			answers[i] = s.submission(c, c.Raw, nil)
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
	l.want(contract.TypeProgdefRemove, "nobody", `{}`, contract.TypeProgdefRejected)
	l.want(contract.TypeProgdefRemove, "greet", `{}`, contract.TypeProgdefRemoved)
	l.want(contract.TypeProgdefRemove, "greet", `{}`, contract.TypeProgdefRemoved)
	l.want(contract.TypeFlowSubmit, "g", hello, contract.TypeFlowRejected)
}

// A progdef takes effect with its command: a flow directly after it uses it, before any answer is folded.
func TestProgdefCountsAtOnce(t *testing.T) {
	s := NewState(DefaultLimits(), nil)
	Evolve(s, contract.Event{Type: contract.TypeProgdefApply, Subject: "greet", Raw: []byte(greet("greet")), Seq: 1})
	if e := s.Judge("f", []byte(hello)); e.Type != contract.TypeFlowValidated {
		t.Errorf("%s: %+v", e.Type, e.Data)
	}
}

// A replay of older commands does not change the stored catalogue.
func TestReplayDoesNotChangeTheStoredCatalogue(t *testing.T) {
	l := newLog(t, nil)
	l.want(contract.TypeProgdefApply, "greet", greet("greet"), contract.TypeProgdefApplied)
	stored := map[string]contract.CatalogEntry{"greet": {Seq: 900, Removed: true}}
	s := NewState(DefaultLimits(), stored)
	Evolve(s, contract.Event{Type: contract.TypeProgdefApply, Subject: "greet", Raw: []byte(greet("greet")), Seq: 101})
	if len(s.catalog) != 0 {
		t.Error("an old command restored a removed progdef")
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

// An id is taken by the document that was validated under it, also after the flow is in history.
func TestTakenIDs(t *testing.T) {
	const other = `{"nodes": {"h": {"progdef": "greet", "with": {"name": ["Bob"]}}}, "outputs": {"g": "h.greeting"}}`
	l := newLog(t, nil)
	l.want(contract.TypeProgdefApply, "greet", greet("greet"), contract.TypeProgdefApplied)
	l.want(contract.TypeFlowSubmit, "f", hello, contract.TypeFlowValidated)
	check := func(when string) {
		t.Helper()
		if got := l.say(contract.TypeFlowSubmit, "f", ` `+hello); len(got) > 0 {
			t.Errorf("%s the same document is answered with %s", when, got[0].Type)
		}
		for _, document := range []string{other, `{"nodes": 5}`, `no JSON`} {
			got := l.say(contract.TypeFlowSubmit, "f", document)
			if len(got) != 1 || got[0].Type != contract.TypeDeadLetter || got[0].Cause == 0 {
				t.Fatalf("%s %s is answered with %v", when, document, got)
			}
			d := got[0].Data.(*contract.DeadLetter)
			if d.Problems[0].Code != problem.IDTaken || d.Sequence != got[0].Cause {
				t.Errorf("%s %s: dead letter %+v", when, document, d)
			}
		}
		if len(l.s.pending) > 0 {
			t.Errorf("%s %v wait", when, l.s.pending)
		}
	}
	check("while the flow is running")
	cleaned := contract.Event{Type: contract.TypeFlowCleaned, Subject: "f", Seq: 1000, Data: &contract.FlowCleaned{}}
	Evolve(l.s, cleaned)
	check("after the flow has ended")
	restarted := NewState(DefaultLimits(), nil)
	image, err := encode(l.s)
	if err != nil {
		t.Fatal(err)
	}
	if err := decode(restarted, image); err != nil {
		t.Fatal(err)
	}
	l.s = restarted
	check("after a restart")
	Evolve(l.s, contract.Event{Type: factStored, With: uint64(999)})
	check("before it is in history")
	Evolve(l.s, contract.Event{Type: factStored, With: uint64(1000)})
	if len(l.s.flows) > 0 {
		t.Errorf("%v are remembered", l.s.flows)
	}
	c := command{Seq: 1, Type: contract.TypeFlowSubmit, Subject: "f"}
	used := &taken{Document: document.Digest([]byte(hello))}
	if got := l.s.submission(c, []byte(hello), used); got.Type != actRepeated {
		t.Errorf("the document in history is answered with %s", got.Type)
	}
	if got := l.s.submission(c, []byte(other), used); got.Type != contract.TypeDeadLetter {
		t.Errorf("a document that differs from the one in history is answered with %s", got.Type)
	}
	if got := l.s.unreadable(c, problem.List{{}}, used); got.Type != contract.TypeDeadLetter {
		t.Errorf("an unreadable document under an id in history is answered with %s", got.Type)
	}
	if got := l.s.unreadable(c, problem.List{{}}, nil); got.Type != contract.TypeFlowRejected {
		t.Errorf("an unreadable document under a free id is answered with %s", got.Type)
	}
}

// The first valid of several waiting submissions with the same id takes the id.
func TestConcurrentSubmissions(t *testing.T) {
	l := newLog(t, nil)
	l.want(contract.TypeProgdefApply, "greet", greet("greet"), contract.TypeProgdefApplied)
	for i, document := range []string{hello, hello, `{"nodes": 5}`} {
		Evolve(l.s, contract.Event{Type: contract.TypeFlowSubmit, Subject: "f", Raw: []byte(document), Seq: uint64(200 + i)})
	}
	var got []contract.Type
	l.n = 300
	for len(l.s.pending) > 0 {
		effects, _ := Decide(l.s, Open(l.s)[0], time.Time{})
		c := effects[0].With.(command)
		answer := l.s.submission(c, c.Raw, nil)
		l.n++
		answer.Seq, answer.Source = l.n, contract.Source(Name)
		Evolve(l.s, answer)
		got = append(got, answer.Type)
	}
	if want := []contract.Type{contract.TypeFlowValidated, contract.TypeDeadLetter}; !slices.Equal(got, want) {
		t.Errorf("answers %v, want %v", got, want)
	}
}
