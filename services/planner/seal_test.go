package planner

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/seal"
	"github.com/dagyo/dagyo/pkg/service"
)

// sealedPlan plans a flow of ada.
func sealedPlan(t *testing.T, at time.Time) (*State, *contract.FlowPlanned) {
	t.Helper()
	l := DefaultLimits()
	l.Seal = true
	s := NewState(l, "0")
	d := validated([]string{"greet=hello,again", "hello.greeting>again.name", "again.greeting>outputs.x"})
	d.Flow.Edges = append(d.Flow.Edges, flow.Edge{Input: "in", To: "hello.name", Type: "utf8-string"})
	d.Owner = "ada"
	for name, pinned := range d.Progdefs {
		pinned.Document.Scaling = progdef.Scaling{JobsPerExecutor: 1, MaxExecutors: 1}
		d.Progdefs[name] = pinned
	}
	Evolve(s, contract.Event{Type: contract.TypeFlowValidated, Subject: "f", Time: at, Data: d})
	effects, _ := Decide(s, "f", at)
	plan := effects[0]
	if plan.Inconsistency() != "" {
		t.Fatal(plan.Inconsistency())
	}
	Evolve(s, plan)
	return s, plan.Data.(*contract.FlowPlanned)
}

// A plan says who is at the ends of an edge, and has no keys.
func TestSealedPlan(t *testing.T) {
	_, p := sealedPlan(t, time.Unix(1, 0))
	in, out, inner := p.Inputs["in"], p.Outputs["x"], p.Jobs[0].Inputs["name"]
	if p.Jobs[0].Job == "hello" {
		inner = p.Jobs[1].Inputs["name"]
	}
	for what, got := range map[string][2]contract.End{
		"input": {*in.Writer, *in.Reader}, "output": {*out.Writer, *out.Reader}, "edge": {*inner.Writer, *inner.Reader},
	} {
		want := map[string][2]contract.End{
			"input": {{Name: "ada"}, {Job: "hello"}}, "output": {{Job: "again"}, {Name: "ada"}}, "edge": {{Job: "hello"}, {Job: "again"}},
		}[what]
		if got != want {
			t.Errorf("ends of the %s: %+v, want %+v", what, got, want)
		}
	}
	if in.Salt == "" || in.Salt != out.Salt || in.Sealed != nil || out.Sealed != nil {
		t.Errorf("input %+v, output %+v", in, out)
	}
	p.Inputs["in"] = in.WithKey(make(contract.Key, 32))
	e := contract.Event{Type: contract.TypeFlowPlanned, Subject: "f", Data: p}
	if e.Inconsistency() == "" {
		t.Error("a plan with a key is accepted")
	}
}

// Each edge has a key of its own, and a flow that has the id of an earlier one has other keys. All services have the same.
func TestKeys(t *testing.T) {
	secret, other := seal.Secret(bytes.Repeat([]byte{1}, 32)), seal.Secret(bytes.Repeat([]byte{2}, 32))
	seen := make(map[string]bool)
	for _, at := range []time.Time{time.Unix(1, 0), time.Unix(2, 0)} {
		_, p := sealedPlan(t, at)
		for _, s := range []seal.Secret{secret, other} {
			for _, a := range []contract.Address{p.Inputs["in"], p.Outputs["x"]} {
				key, err := s.Key(a)
				again, _ := s.Key(a)
				if err != nil || len(key) != 32 || seen[string(key)] || !bytes.Equal(key, again) {
					t.Errorf("key %x, %x, %v", []byte(key), []byte(again), err)
				}
				seen[string(key)] = true
			}
		}
	}
}

// Only the owner gets the keys.
func TestAskKeys(t *testing.T) {
	s, p := sealedPlan(t, time.Unix(1, 0))
	w := &wiring{secret: bytes.Repeat([]byte{1}, 32)}
	ask := func(flow string, who contract.Sender) (contract.FlowKeys, string) {
		t.Helper()
		answer, err := w.askKeys(s, []byte(flow))
		if err == nil {
			after := answer.(service.After[*State])
			answer, err = after.Ask(s, nil)
		}
		if err == nil {
			answer, err = answer.(service.For)(who)
		}
		var refused *service.AskError
		if errors.As(err, &refused) {
			return contract.FlowKeys{}, refused.Code
		}
		if err != nil {
			t.Fatal(err)
		}
		return answer.(contract.FlowKeys), ""
	}
	for who, want := range map[contract.Sender]string{
		{Name: "ada"}: "", {Name: "bob"}: "403", {}: "403",
	} {
		got, code := ask("f", who)
		if code != want || (len(got.Keys) == 3) != (code == "") {
			t.Errorf("%+v gets %d keys, %q", who, len(got.Keys), code)
		}
		if a := p.Inputs["in"]; code == "" && len(got.Keys[a.Subject]) != 32 {
			t.Errorf("no key of %s", a.Subject)
		}
	}
	if _, code := ask("g", contract.Sender{Name: "ada"}); code != "404" {
		t.Errorf("unknown flow: %q", code)
	}
}
