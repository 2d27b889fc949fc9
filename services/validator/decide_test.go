package validator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/event"
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
		for _, effect := range effects {
			answer, err := Judge(context.Background(), replica{s}, effect)
			if err != nil {
				panic(err)
			}
			answers = append(answers, answer)
		}
	}
	return answers
}

// replica is an Events whose commands have their documents at hand.
type replica struct{ s *State }

func (r replica) Read(f func(*State)) { f(r.s) }

func (replica) Message(context.Context, uint64) (*event.Stored, error) { return nil, nil }

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
	if d, ok := l.say(contract.TypeFlowSubmit, "f", hello)[0].Data.(*contract.DeadLetter); !ok || d.Problems[0].Code != problem.Resubmitted {
		t.Errorf("the same submission is answered with %+v", d)
	}
	l.want(contract.TypeProgdefRemove, "nobody", `{}`, contract.TypeProgdefRejected)
	l.want(contract.TypeProgdefRemove, "greet", `{}`, contract.TypeProgdefRemoved)
	l.want(contract.TypeProgdefRemove, "greet", `{}`, contract.TypeProgdefRemoved)
	l.want(contract.TypeFlowSubmit, "g", hello, contract.TypeFlowRejected)
}

// A replay of older commands does not change the stored catalogue.
func TestReplayDoesNotChangeTheStoredCatalogue(t *testing.T) {
	l := newLog(t, nil)
	l.want(contract.TypeProgdefApply, "greet", greet("greet"), contract.TypeProgdefApplied)
	stored := map[string]contract.CatalogEntry{"greet": {Seq: 900, Removed: true}}
	s := NewState(DefaultLimits(), stored)
	Evolve(s, contract.Event{Type: contract.TypeProgdefApplied, Subject: "greet", Seq: 102, Data: &contract.ProgdefApplied{
		Name: "greet", Revision: l.s.catalog["greet"].Revision, Document: l.s.catalog["greet"].Document,
	}})
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

// Ports that are inferred count against the limit on a progdef's document: the bucket has to take it.
func TestInferredPortsAreCounted(t *testing.T) {
	l := newLog(t, nil)
	long := strings.Repeat("x", 200)
	l.want(contract.TypeProgdefApply, "p", `{"name": "p", "inputs": {"i": "`+long+`"}, "command": ["x"]}`, contract.TypeProgdefApplied)
	nodes, inputs := []string{}, []string{}
	for i := range 5000 {
		nodes = append(nodes, fmt.Sprintf(`"n%d": {"progdef": "p"}`, i))
		inputs = append(inputs, fmt.Sprintf(`"i%d": "n%d.i"`, i, i))
	}
	document := func(n int) string {
		return fmt.Sprintf(`{"name": "f", "flow": {"nodes": {%s}, "inputs": {%s}}}`, strings.Join(nodes[:n], ","), strings.Join(inputs[:n], ","))
	}
	l.want(contract.TypeProgdefApply, "f", document(1000), contract.TypeProgdefApplied)
	answer, ok := l.say(contract.TypeProgdefApply, "f", document(5000))[0].Data.(*contract.ProgdefRejected)
	if !ok || len(answer.Problems) != 1 || answer.Problems[0].Code != problem.TooLarge || answer.Problems[0].Pointer != "/flow" {
		t.Errorf("answer %+v, want too-large", answer)
	}
}

// Problems of declared ports do not make the ends of the flow look wrong.
func TestBrokenPortsOfAFlow(t *testing.T) {
	l := newLog(t, nil)
	l.want(contract.TypeProgdefApply, "greet", greet("greet"), contract.TypeProgdefApplied)
	for ports, want := range map[string]string{
		`"inputs": {"i": "utf8-string"}, "outputs": 5`:                               "/outputs",
		`"inputs": {"i": "list<"}, "outputs": {"o": "utf8-string"}`:                  "/inputs/i",
		`"inputs": {"i": "json"}, "outputs": {"o": "utf8-string"}`:                   "/flow/inputs/i",
		`"typeParams": ["t"], "inputs": {"i": "utf8-string"}, "outputs": {"o": "t"}`: "/typeParams/0",
	} {
		answer, ok := l.say(contract.TypeProgdefApply, "f", `{"name": "f", `+ports+`, "flow": {"nodes": {"g": {"progdef": "greet"}},
			"inputs": {"i": "g.name"}, "outputs": {"o": "g.greeting"}}}`)[0].Data.(*contract.ProgdefRejected)
		if !ok || len(answer.Problems) != 1 || answer.Problems[0].Pointer != want {
			t.Errorf("%s: answer %+v, want one problem at %s", ports, answer, want)
		}
	}
}

// An id is taken by the document that was validated under it, also after the flow is in history.
func TestTakenIDs(t *testing.T) {
	const other = `{"nodes": {"h": {"progdef": "greet", "with": {"name": ["Bob"]}}}, "outputs": {"g": "h.greeting"}}`
	l := newLog(t, nil)
	l.want(contract.TypeProgdefApply, "greet", greet("greet"), contract.TypeProgdefApplied)
	l.want(contract.TypeFlowSubmit, "f", hello, contract.TypeFlowValidated)
	check := func(when string) {
		t.Helper()
		for document, code := range map[string]problem.Code{
			` ` + hello: problem.Resubmitted, other: problem.IDTaken, `{"nodes": 5}`: problem.IDTaken, `no JSON`: problem.IDTaken,
		} {
			got := l.say(contract.TypeFlowSubmit, "f", document)
			if len(got) != 1 || got[0].Type != contract.TypeDeadLetter || got[0].Cause == 0 {
				t.Fatalf("%s %s is answered with %v", when, document, got)
			}
			d := got[0].Data.(*contract.DeadLetter)
			if len(d.Problems) != 1 || d.Problems[0].Code != code || d.Sequence != got[0].Cause {
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
	image, err := snapshots().Encode(l.s)
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
}

// An id that is only in history is taken, too. Each submission under it has one answer, also one that cannot be
// decoded; the flow gets none.
func TestIDsTakenInHistory(t *testing.T) {
	const other = `{"nodes": 5}`
	l := newLog(t, nil)
	failing := errors.New("history cannot be read")
	submitted := func(document string) contract.Event {
		c := command{Seq: 7, Type: contract.TypeFlowSubmit, Subject: "f", Raw: []byte(document)}
		return contract.Event{Type: contract.TypeFlowValidated, Subject: "f", Cause: 7, With: c}
	}
	undecodable := contract.Event{
		Type: contract.TypeFlowRejected, Subject: "f", Cause: 7, Opens: true,
		Data: &contract.FlowRejected{Problems: problem.List{{Code: problem.NotJSON}}},
	}
	cut := submitted("")
	cut.With = command{Seq: 7, Type: contract.TypeFlowSubmit, Subject: "f"}
	ended := &taken{Document: document.Digest([]byte(hello))}
	for _, tt := range []struct {
		name   string
		effect contract.Event
		past   *taken
		err    error
		want   contract.Type
		codes  []problem.Code
	}{
		{"the same document", submitted(` ` + hello), ended, nil, contract.TypeDeadLetter, []problem.Code{problem.Resubmitted}},
		{"another one", submitted(other), ended, nil, contract.TypeDeadLetter, []problem.Code{problem.IDTaken}},
		{"undecodable", undecodable, ended, nil, contract.TypeDeadLetter, []problem.Code{problem.NotJSON, problem.IDTaken}},
		{"not kept", cut, ended, nil, contract.TypeDeadLetter, []problem.Code{problem.GaveUp, problem.IDTaken}},
		{"undecodable, free id", undecodable, nil, nil, contract.TypeFlowRejected, []problem.Code{problem.NotJSON}},
		{"undecodable, unknown history", undecodable, nil, failing, contract.TypeDeadLetter, []problem.Code{problem.NotJSON}},
	} {
		past := func(context.Context, string) (*taken, error) { return tt.past, tt.err }
		got, err := judge(t.Context(), replica{l.s}, tt.effect, past)
		if err != nil || got.Type != tt.want || got.Cause != 7 {
			t.Errorf("%s: answered with %s of %d, %v", tt.name, got.Type, got.Cause, err)
			continue
		}
		var problems problem.List
		if d, ok := got.Data.(*contract.DeadLetter); ok {
			problems = d.Problems
		} else {
			problems = got.Data.(*contract.FlowRejected).Problems
		}
		var codes []problem.Code
		for _, p := range problems {
			codes = append(codes, p.Code)
		}
		if !slices.Equal(codes, tt.codes) {
			t.Errorf("%s: problems %v, want %v", tt.name, codes, tt.codes)
		}
	}
	past := func(context.Context, string) (*taken, error) { return nil, failing }
	if _, err := judge(t.Context(), replica{l.s}, submitted(hello), past); !errors.Is(err, failing) {
		t.Errorf("a flow is judged without history: %v", err)
	}
}

// A flow moves from the state to history at any time: it is found in one of them.
func TestIDsAreFoundWhileTheyMoveToHistory(t *testing.T) {
	l := newLog(t, nil)
	l.want(contract.TypeProgdefApply, "greet", greet("greet"), contract.TypeProgdefApplied)
	l.want(contract.TypeFlowSubmit, "f", hello, contract.TypeFlowValidated)
	inHistory := false
	move := func() { delete(l.s.flows, "f"); inHistory = true }
	past := func(context.Context, string) (owner *taken, err error) {
		if inHistory {
			owner = &taken{Document: document.Digest([]byte(hello))}
		}
		move()
		return owner, nil
	}
	c := command{Seq: 7, Type: contract.TypeFlowSubmit, Subject: "f", Raw: []byte(hello)}
	for range 2 {
		got, err := judge(t.Context(), replica{l.s}, contract.Event{Type: contract.TypeFlowValidated, With: c}, past)
		if err != nil || got.Type != contract.TypeDeadLetter {
			t.Errorf("answered with %s, %v", got.Type, err)
		}
		move()
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
		answer, err := Judge(t.Context(), replica{l.s}, effects[0])
		if err != nil {
			t.Fatal(err)
		}
		l.n++
		answer.Seq, answer.Source = l.n, contract.Source(Name)
		Evolve(l.s, answer)
		got = append(got, answer.Type)
	}
	want := []contract.Type{contract.TypeFlowValidated, contract.TypeDeadLetter, contract.TypeDeadLetter}
	if !slices.Equal(got, want) {
		t.Errorf("answers %v, want %v", got, want)
	}
}
