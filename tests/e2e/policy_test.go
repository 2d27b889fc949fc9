package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/policy"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/tests/harness"
)

func policyOf(t *testing.T, text string) *policy.Policy {
	t.Helper()
	p, problems := policy.Check([]byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return p
}

// names returns the names of the catalogue, as the validator answers.
func names(t *testing.T, c *harness.Client) (out []string) {
	t.Helper()
	m, err := c.Conn.Request(contract.AskCatalogList, nil, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var all []progdef.Pinned
	if err := json.Unmarshal(m.Data, &all); err != nil {
		t.Fatalf("%s: %v", m.Data, err)
	}
	for _, p := range all {
		out = append(out, p.Document.Name)
	}
	return out
}

// Whoever has received progdef.applied finds the progdef in the catalogue, and a flow after a progdef.apply uses it
// without waiting.
func TestProgdefsCountOnceApplied(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	for i := range 50 {
		name := fmt.Sprintf("p%02d", i)
		c.Command(t, contract.TypeProgdefApply, name, json.RawMessage(fmt.Sprintf(`{"name": %q, "command": ["x"]}`, name)))
		c.Submit(t, "flow-"+name, fmt.Sprintf(`{"nodes": {"n": {"progdef": %q}}, "deadline": "1s"}`, name))
		c.Await(t, "answer", harness.Is(contract.TypeProgdefApplied, name))
		if got := names(t, c); !slices.Contains(got, name) {
			t.Fatalf("%s is applied, and not among %v", name, got)
		}
		c.Await(t, "flow", harness.Is(contract.TypeFlowValidated, "flow-"+name))
	}
}

// A leader with a stricter policy takes over the catalogue, with what its policy refuses. It accepts no more of that, and
// starts no executor of it.
func TestLeadersWithDifferentPolicies(t *testing.T) {
	strict := policy.NewCurrent(policyOf(t, `{"limits": {"maxExecutors": 10}}`))
	o := harness.DefaultOptions()
	s := harness.Start(t, o)
	c := s.Client(t)
	c.ApplyFaulty(t, harness.Faulty{Name: "words", Out: true, Slots: 1, Max: 11})
	c.ApplyFaulty(t, harness.Faulty{Name: "sink", In: true, Slots: 1, Max: 10})
	before := names(t, c)
	s.KillService(t, "validator")
	s.Reconfigure(func(o *harness.Options) { o.Validator.Policy = strict })
	s.StartService(t, "validator")
	refused := func(flow string) {
		t.Helper()
		c.Submit(t, flow, words)
		e := c.Await(t, "rejection", harness.Is(contract.TypeFlowRejected, flow))
		if p := e.Data.(*contract.FlowRejected).Problems; len(p) != 1 || p[0].Code != problem.PolicyRefused {
			t.Errorf("problems %v", p)
		}
	}
	refused("refused")
	if got := names(t, c); !slices.Equal(got, before) {
		t.Errorf("the catalogue has %v, want %v", got, before)
	}
	c.Command(t, contract.TypeProgdefApply, "sink",
		json.RawMessage(`{"name": "sink", "command": ["x"], "scaling": {"maxExecutors": 11}}`))
	e := c.Await(t, "rejection", harness.Is(contract.TypeProgdefRejected, "sink"))
	if p := e.Data.(*contract.ProgdefRejected).Problems; len(p) != 1 || p[0].Pointer != "/scaling/maxExecutors" {
		t.Errorf("problems %v", p)
	}

	// Back to the first policy: nothing of the rejected document is left, and the catalogue is as before.
	strict.Set(policyOf(t, `{}`))
	s.KillService(t, "validator")
	s.StartService(t, "validator")
	c.Submit(t, "accepted", words)
	completed(t, c.AwaitEnd(t, "accepted"))
	if got := names(t, c); !slices.Equal(got, before) {
		t.Errorf("the catalogue has %v, want %v", got, before)
	}

	// A changed policy is in force without a restart; also that of the spawner, for flows that are valid.
	s.KillService(t, "spawner")
	late := policy.NewCurrent(nil)
	s.Reconfigure(func(o *harness.Options) { o.Spawner.Policy = late })
	s.StartService(t, "spawner")
	c.Apply(t, `{"name": "other", "command": ["x"], "inputs": {"in": "utf8-string"}}`)
	late.Set(policyOf(t, `{"commands": {"allow": []}}`).OnHost())
	c.Submit(t, "late", `{"nodes": {"n": {"progdef": "other", "with": {"in": ["x"]}}}}`)
	end := c.AwaitEnd(t, "late")
	text, err := json.Marshal(end.Data)
	if err != nil || end.Type != contract.TypeFlowPanic || !strings.Contains(string(text), "commands.allow") {
		t.Errorf("%s: %s, %v", end.Type, text, err)
	}
}
