package typedoc

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/progdef"
)

func TestBuiltins(t *testing.T) {
	for _, d := range Builtins() {
		if !progdef.IsBuiltin(d.Name) || Summaries()[d.Name] == "" {
			t.Errorf("%s: %q", d.Name, d.Summary())
		}
		if parsed, err := progdef.ParseTypename(d.Typename()); err != nil || parsed.Name != d.Name {
			t.Errorf("%s: %v", d.Typename(), err)
		}
	}
	byName := func(a, b Document) int { return strings.Compare(a.Name, b.Name) }
	if !slices.IsSortedFunc(Builtins(), byName) || len(Builtins()) != 5 {
		t.Error("the built-in types differ from the expected ones, or their order does")
	}
}

func TestCheckedDocumentsCheckAgain(t *testing.T) {
	raw := `{"name":"Pair","typeParams":["A","B"],"description":"d","schema":{"type":"array"}}`
	first, problems := Check([]byte(raw), document.DefaultLimits())
	if problems != nil || first.Typename() != "Pair<A,B>" {
		t.Fatal(first, problems)
	}
	again, err := json.Marshal(first)
	if err != nil {
		t.Fatal(err)
	}
	second, problems := Check(again, document.DefaultLimits())
	if problems != nil || !reflect.DeepEqual(first, second) {
		t.Errorf("%s checks to %+v, %v", again, second, problems)
	}
}

func TestSummary(t *testing.T) {
	for description, want := range map[string]string{
		"One sentence.":                          "One sentence",
		"Version 1.0 of it. And more.":           "Version 1.0 of it",
		" Two\n lines \t of text":                "Two lines of text",
		strings.Repeat("é", 101):                 strings.Repeat("é", 99) + "…",
		strings.Repeat("é", 100) + ". And more.": strings.Repeat("é", 100),
	} {
		if got := (Document{Description: description}).Summary(); got != want {
			t.Errorf("%q: %q, want %q", description, got, want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	f.Add([]byte(`{"name":"Pair","typeParams":["A"],"description":"d","schema":{"$ref":"#/$defs/x"}}`))
	f.Add([]byte(`{"name":"x","description":"d","schema":{"pattern":"("},"protobuf":"message"}`))
	f.Add([]byte(`{"name":"list<T>","description":1,"schema":{"$schema":"http://a/b"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		doc, problems := Check(raw, document.DefaultLimits())
		for _, p := range problems {
			if p.Code == "internal-failure" {
				t.Fatalf("%s for %q", p, raw)
			}
		}
		if problems == nil && (doc.Name == "" || doc.Summary() == "" && doc.Description == "") {
			t.Fatalf("%+v", doc)
		}
	})
}
