package validator

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/policy"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/service"
)

// strict allows only the command x.
func strict(t *testing.T) *policy.Policy {
	t.Helper()
	p, problems := policy.Check([]byte(`{"commands": {"allow": ["x"]}, "limits": {"maxExecutors": 50}}`))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return p
}

func running(name, command string) string {
	return strings.Replace(greet(name), `"x"`, `"`+command+`"`, 1)
}

// A replica with another policy than the leader's takes over the leader's answers, also if it starts from a snapshot or
// from a bucket that is behind or ahead.
func TestReplicasWithDifferentPoliciesAgree(t *testing.T) {
	lax, other := newLog(t, nil), NewState(DefaultLimits(), nil).WithPolicy(strict(t))
	var stored []contract.Event
	say := func(leader *State, seq uint64, typ contract.Type, name, document string) contract.Type {
		t.Helper()
		command := contract.Event{Type: typ, Subject: name, Raw: []byte(document), Seq: seq}
		for _, s := range []*State{lax.s, other} {
			Evolve(s, command)
		}
		effects, _ := Decide(leader, "progdef "+name, time.Time{})
		answer := effects[0]
		answer.Seq, answer.Source = seq+1, contract.Source(Name)
		for _, s := range []*State{lax.s, other} {
			Evolve(s, answer)
		}
		stored = append(stored, command, answer)
		return answer.Type
	}
	apply, remove := contract.TypeProgdefApply, contract.TypeProgdefRemove
	for i, tt := range []struct {
		leader         *State
		typ            contract.Type
		name, document string
		want           contract.Type
	}{
		{lax.s, apply, "a", running("a", "x"), contract.TypeProgdefApplied},
		{other, apply, "a", running("a", "y"), contract.TypeProgdefRejected},
		{lax.s, apply, "b", running("b", "y"), contract.TypeProgdefApplied},
		{other, apply, "b", running("b", "y"), contract.TypeProgdefRejected},
		{lax.s, apply, "c", running("c", "y"), contract.TypeProgdefApplied},
		{other, remove, "c", `{}`, contract.TypeProgdefRemoved},
	} {
		if got := say(tt.leader, uint64(10*i+10), tt.typ, tt.name, tt.document); got != tt.want {
			t.Fatalf("%d: %s, want %s", i, got, tt.want)
		}
	}
	commands := func(s *State) (out []string) {
		for _, name := range s.names() {
			out = append(out, name+" "+s.catalog[name].Document.Command[0])
		}
		return out
	}
	want := []string{"a x", "b y"}
	same := func(what string, s *State) {
		t.Helper()
		if got := commands(s); !slices.Equal(got, want) || !reflect.DeepEqual(s.changed, lax.s.changed) {
			t.Errorf("%s has %v, changed at %v; want %v, %v", what, got, s.changed, want, lax.s.changed)
		}
	}
	same("the leader", lax.s)
	same("the other replica", other)

	image, err := snapshots().Encode(other)
	if err != nil {
		t.Fatal(err)
	}
	ahead := map[string]contract.CatalogEntry{"b": {Seq: 900, Removed: true}}
	for what, bucket := range map[string]map[string]contract.CatalogEntry{"behind": nil, "ahead": ahead} {
		s := NewState(DefaultLimits(), bucket).WithPolicy(strict(t))
		if err := decode(s, image); err != nil {
			t.Fatal(err)
		}
		same("a replica with a bucket that is "+what, s)
	}
	replayed := NewState(DefaultLimits(), nil).WithPolicy(strict(t))
	for _, e := range stored {
		Evolve(replayed, e)
	}
	same("a replay", replayed)
}

// The bucket gets a change once its answer is stored, also from a later leader.
func TestChangesReachTheBucket(t *testing.T) {
	l := newLog(t, nil)
	l.want(contract.TypeProgdefApply, "greet", greet("greet"), contract.TypeProgdefApplied)
	if got := Open(l.s); !slices.Equal(got, []string{"store greet"}) {
		t.Fatalf("open are %q", got)
	}
	effects, _ := Decide(l.s, "store greet", time.Time{})
	entry, ok := effects[0].With.(contract.CatalogEntry)
	if !effects[0].IsAct() || !ok || entry.Seq != l.n || entry.Document.Name != "greet" {
		t.Fatalf("the effect is %+v", effects[0])
	}
	Evolve(l.s, effects[0])
	if got := Open(l.s); len(got) > 0 {
		t.Errorf("open are %q", got)
	}
	l.want(contract.TypeProgdefRemove, "greet", `{}`, contract.TypeProgdefRemoved)
	effects, _ = Decide(l.s, "store greet", time.Time{})
	if entry := effects[0].With.(contract.CatalogEntry); !entry.Removed || entry.Seq != l.n {
		t.Errorf("the effect is %+v", effects[0])
	}
}

// A flow submitted directly after a progdef uses it: its submission waits for the progdef's answer, whoever leads.
func TestSubmissionsWaitForProgdefs(t *testing.T) {
	s := NewState(DefaultLimits(), nil)
	fold := func(typ contract.Type, subject, document string, seq uint64) {
		Evolve(s, contract.Event{Type: typ, Subject: subject, Raw: []byte(document), Seq: seq})
	}
	fold(contract.TypeFlowSubmit, "early", hello, 1)
	fold(contract.TypeProgdefApply, "greet", greet("greet"), 2)
	fold(contract.TypeFlowSubmit, "late", hello, 3)
	fold(contract.TypeProgdefApply, "greet", `{"name": 5}`, 4)
	fold(contract.TypeFlowSubmit, "latest", hello, 5)
	waits := func(s *State, flow string) bool {
		effects, _ := Decide(s, "flow "+flow, time.Time{})
		return len(effects) == 0
	}
	image, err := snapshots().Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	restarted := NewState(DefaultLimits(), nil)
	if err := decode(restarted, image); err != nil {
		t.Fatal(err)
	}
	for _, s := range []*State{s, restarted} {
		if waits(s, "early") || !waits(s, "late") || !waits(s, "latest") {
			t.Fatal("other submissions wait than those after the progdef")
		}
		for i, want := range [][]string{{"progdef greet", "flow late", "store greet"}, {"progdef greet", "flow latest"}} {
			effects, _ := Decide(s, "progdef greet", time.Time{})
			answer := effects[0]
			answer.Seq = uint64(10 + i)
			if keys := Evolve(s, answer); !slices.Equal(keys, want) {
				t.Errorf("answer %d touches %q, want %q", i, keys, want)
			}
		}
		if waits(s, "late") || waits(s, "latest") || len(s.held)+len(s.changes) > 0 {
			t.Error("submissions still wait")
		}
		if e := s.Judge("late", "", []byte(hello)); e.Type != contract.TypeFlowValidated {
			t.Errorf("%s: %+v", e.Type, e.Data)
		}
	}
}

// A question waits for the commands about progdefs before it, and not for later ones.
func TestQuestionsWaitForProgdefs(t *testing.T) {
	s := NewState(DefaultLimits(), nil)
	ask := asks()[contract.AskCatalogList]
	list := func(ask service.Ask[*State]) string {
		answer, err := ask(s, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(answer)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	if got := list(ask); got != "[]" {
		t.Errorf("the empty catalogue is %s", got)
	}
	apply := func(seq uint64) {
		Evolve(s, contract.Event{Type: contract.TypeProgdefApply, Subject: "greet", Raw: []byte(greet("greet")), Seq: seq})
	}
	apply(1)
	answer, err := ask(s, nil)
	after, ok := answer.(service.After[*State])
	if err != nil || !ok || after.Ready(s) {
		t.Fatalf("answered with %v, %v", answer, err)
	}
	effects, _ := Decide(s, "progdef greet", time.Time{})
	apply(2)
	applied := effects[0]
	applied.Seq = 3
	Evolve(s, applied)
	if !after.Ready(s) || !strings.Contains(list(after.Ask), `"greet"`) {
		t.Error("the progdef is not in the catalogue")
	}
}

// What the policy refuses is reported with the other problems, and the previous version stays.
func TestPolicyRefusals(t *testing.T) {
	l := newLog(t, nil)
	Evolve(l.s, contract.Event{Type: factPolicy, With: strict(t)})
	l.want(contract.TypeProgdefApply, "greet", greet("greet"), contract.TypeProgdefApplied)
	revision := l.s.catalog["greet"].Revision
	bad := strings.Replace(running("greet", "rm"), `"command"`, `"scaling": {"maxExecutors": 99, "minExecutors": "no"}, "command"`, 1)
	got := l.say(contract.TypeProgdefApply, "greet", bad)[0].Data.(*contract.ProgdefRejected).Problems
	var pointers []string
	for _, p := range got {
		pointers = append(pointers, string(p.Code)+" "+p.Pointer)
	}
	want := []string{"policy /command/0", "policy /scaling/maxExecutors", "schema /scaling/minExecutors"}
	if !slices.Equal(pointers, want) {
		t.Errorf("problems %v, want %v", got, want)
	}
	if !strings.Contains(got[0].Message, "commands.allow") || got[0].Hint != "allowed: x" {
		t.Errorf("the problem is %+v", got[0])
	}
	if l.s.catalog["greet"].Revision != revision {
		t.Error("the rejected version is in the catalogue")
	}
}

// A policy that becomes stricter leaves progdefs in the catalogue, and refuses new flows with them. ask.flow.validate
// gives the same answer.
func TestStricterPolicy(t *testing.T) {
	l := newLog(t, nil)
	l.want(contract.TypeProgdefApply, "greet", running("greet", "y"), contract.TypeProgdefApplied)
	l.want(contract.TypeFlowSubmit, "before", hello, contract.TypeFlowValidated)
	Evolve(l.s, contract.Event{Type: factPolicy, With: strict(t)})
	rejected := l.say(contract.TypeFlowSubmit, "after", hello)[0].Data.(*contract.FlowRejected)
	if p := rejected.Problems; len(p) != 1 || p[0].Code != problem.PolicyRefused || p[0].Pointer != "/nodes/h/progdef" {
		t.Errorf("problems %v", p)
	}
	answer, err := askValidate(l.s, []byte(hello))
	if later, ok := answer.(service.Later); ok {
		answer, err = later(t.Context())
	}
	if text, ok := answer.(json.RawMessage); err != nil || !ok || !strings.Contains(string(text), "commands.allow") {
		t.Errorf("the question is answered with %s, %v", answer, err)
	}
	Evolve(l.s, contract.Event{Type: factPolicy, With: (*policy.Policy)(nil)})
	l.want(contract.TypeFlowSubmit, "again", hello, contract.TypeFlowValidated)
}
