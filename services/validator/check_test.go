package validator

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service"
)

// checked asks what publishing documents would give. A document is a progdef if it has inputs, a flow or a command.
func checked(t *testing.T, s *State, documents ...string) contract.CatalogChecked {
	t.Helper()
	var q contract.CatalogCheck
	for _, d := range documents {
		if strings.Contains(d, `"command"`) || strings.Contains(d, `"flow"`) {
			q.Documents = append(q.Documents, contract.CheckDocument{Progdef: json.RawMessage(d)})
		} else {
			q.Documents = append(q.Documents, contract.CheckDocument{Type: json.RawMessage(d)})
		}
	}
	raw, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	return askedCheck(t, s, raw)
}

func askedCheck(t *testing.T, s *State, raw []byte) contract.CatalogChecked {
	t.Helper()
	answer, err := askCheck(s, raw)
	if err != nil {
		t.Fatal(err)
	}
	if answer, err = answer.(service.Later)(context.Background()); err != nil {
		t.Fatal(err)
	}
	return answer.(contract.CatalogChecked)
}

const (
	wordType = `{"name": "word", "description": "One word."}`
	shout    = `{"name": "shout", "command": ["tr"], "inputs": {"in": "word"}, "outputs": {"out": "word"}}`
	twice    = `{"name": "twice", "flow": {"nodes": {"a": {"progdef": "shout"}, "b": {"progdef": "shout"}},
		"edges": [{"from": "a.out", "to": "b.in"}], "inputs": {"in": "a.in"}, "outputs": {"out": "b.out"}}}`
)

// A document is checked as if those before it were published, and nothing is.
func TestCheckPublishesNothing(t *testing.T) {
	s := NewState(DefaultLimits(), nil)
	for range 2 {
		out := checked(t, s, wordType, shout, twice)
		for i, d := range out.Documents {
			if len(d.Problems) > 0 || (d.Revision == "") != (i == 0) {
				t.Errorf("%+v", d)
			}
		}
		if len(s.catalog) > 0 || s.types.docs["word"].Name != "" || s.types.meanings["word"] != "" {
			t.Error("the catalogue has changed")
		}
	}
	if out := checked(t, s, twice, shout); len(out.Documents[0].Problems) != 2 || len(out.Documents[1].Problems) > 0 {
		t.Errorf("%+v", out)
	}
	// What has problems is not there for the others.
	bad := strings.Replace(shout, `"word"`, `"list<"`, 1)
	if out := checked(t, s, bad, twice); len(out.Documents[0].Problems) != 1 || len(out.Documents[1].Problems) != 2 {
		t.Errorf("%+v", out)
	}
}

// What is checked is what publishing gives.
func TestCheckFindsTheRevision(t *testing.T) {
	m := &machine{t: t, s: NewState(DefaultLimits(), nil)}
	out := checked(t, m.s, shout, twice)
	m.say(contract.TypeProgdefApply, shout)
	m.say(contract.TypeProgdefApply, twice)
	for _, d := range out.Documents {
		if got := m.s.catalog[d.Name].Revision; got != d.Revision || got == "" {
			t.Errorf("%s: %s was checked, %s published", d.Name, d.Revision, got)
		}
	}
}

// A catalogue that changes while documents are checked is not the one that they are checked by.
func TestCheckBorrows(t *testing.T) {
	m := &machine{t: t, s: NewState(DefaultLimits(), nil)}
	m.say(contract.TypeProgdefApply, shout)
	raw := fmt.Appendf(nil, `{"documents": [{"progdef": %s}]}`, twice)
	answer, err := askCheck(m.s, raw)
	if err != nil {
		t.Fatal(err)
	}
	m.s.put("shout", contract.CatalogEntry{Seq: m.n + 1, Removed: true})
	done, err := answer.(service.Later)(context.Background())
	if out := done.(contract.CatalogChecked); err != nil || len(out.Documents) != 1 || len(out.Documents[0].Problems) > 0 {
		t.Errorf("%+v, %v", out, err)
	}
	if out := askedCheck(t, m.s, raw); len(out.Documents[0].Problems) != 2 {
		t.Errorf("%+v", out)
	}
}

func TestCheckIsBounded(t *testing.T) {
	s := NewState(DefaultLimits(), nil)
	many := make([]string, contract.MaxChecked+1)
	for i := range many {
		many[i] = wordType
	}
	if out := checked(t, s, many...); len(out.Documents) > 0 || len(out.Problems) != 1 {
		t.Errorf("%d results, %v", len(out.Documents), out.Problems)
	}
	ports := make([]string, 600)
	for i := range ports {
		ports[i] = fmt.Sprintf(`"p%d": "list<"`, i)
	}
	wrong := `{"name": "wrong", "command": ["x"], "inputs": {` + strings.Join(ports, ", ") + `}}`
	out := checked(t, s, wrong, wrong, wrong)
	n, omitted := 0, 0
	for _, d := range out.Documents {
		n, omitted = n+len(d.Problems), omitted+d.Omitted
	}
	if n > contract.MaxChecked || out.Documents[0].Omitted > 0 || n == contract.MaxChecked && omitted == 0 {
		t.Errorf("%d problems, %d omitted", n, omitted)
	}
	for _, question := range []string{
		`{"documents": [{}]}`, `{"documents": [{"type": {}, "progdef": {}}]}`, `{"documents": [{"progdef": 1}]}`,
		`{"documents": [{"type": null}]}`,
	} {
		if out := askedCheck(t, s, []byte(question)); len(out.Documents) != 1 || len(out.Documents[0].Problems) == 0 {
			t.Errorf("%s: %+v", question, out)
		}
	}
	for _, question := range []string{``, `[]`, `{"documents": 1}`, `{"docs": []}`} {
		if out := askedCheck(t, s, []byte(question)); len(out.Problems) != 1 {
			t.Errorf("%s: %+v", question, out)
		}
	}
}
