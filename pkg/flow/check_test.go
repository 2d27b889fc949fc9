package flow

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/schemas"
)

func TestExamplesAreFlows(t *testing.T) {
	for _, name := range []string{
		"flow", "flow-client", "flow-const", "flow-empty", "flow-generic", "flow-with",
	} {
		raw, err := schemas.Files.ReadFile("examples/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if _, _, problems := Check(raw, catalog(t), DefaultLimits()); problems != nil {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

func TestNormalForm(t *testing.T) {
	raw, err := schemas.Files.ReadFile("examples/flow.json")
	if err != nil {
		t.Fatal(err)
	}
	known := catalog(t)
	got, pinned, problems := Check(raw, known, DefaultLimits())
	if problems != nil {
		t.Fatal(problems)
	}
	names := &Const{Node: "names", Values: []Value{Value("Alice"), Value("Bob")}}
	want := Flow{
		Nodes: map[string]Node{
			"hello": {Progdef: "greet", Revision: known["greet"].Revision},
		},
		Edges: []Edge{
			{Const: names, To: "hello.name", Type: "utf8-string"},
			{From: "hello.greeting", Output: "greetings", Type: "utf8-string"},
		},
		Deadline: document.Duration(10 * time.Minute),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if len(pinned) != 1 || pinned["greet"].Revision != known["greet"].Revision {
		t.Errorf("pinned %v", pinned)
	}
	readsBack(t, got)
}

// readsBack checks that an event preserves the normal form.
func readsBack(t *testing.T, f Flow) {
	t.Helper()
	raw, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var again Flow
	if err := json.Unmarshal(raw, &again); err != nil || !reflect.DeepEqual(f, again) {
		t.Errorf("%s reads back as %+v, %v", raw, again, err)
	}
}

func TestLimits(t *testing.T) {
	limits := Limits{
		Document: document.Limits{Bytes: 1000, Depth: 8},
		Nodes:    2, Edges: 2, ConstValues: 3, RecordBytes: 4,
		MaxDeadline: time.Hour, DefaultDeadline: time.Minute,
	}
	c := func(values string) string { return `{"const":{"type":"octets","values":[` + values + `]}}` }
	tests := []struct{ name, raw, want string }{
		{"at every limit", `{"nodes":{"a":` + c(`"1234","2"`) + `,"b":` + c(`"3"`) + `},
			"outputs":{"a":"a.out","b":"b.out"},"deadline":"1h"}`, ""},
		{"nodes", `{"nodes":{"a":` + c("") + `,"b":` + c("") + `,"c":` + c("") + `}}`,
			"/nodes: the flow has 3 nodes; the limit is 2 [too-many]"},
		{"edges", `{"edges":[{"from":"a.b","to":"c.d"},{"from":"a.b","to":"c.d"},` +
			`{"from":"a.b","to":"c.d"}]}`,
			"/edges: the flow has 3 edges; the limit is 2 [too-many]"},
		{"edges of every kind", `{"edges":[{"from":"a.b","to":"c.d"}],"inputs":{"a":"b.c"},` +
			`"nodes":{"n":{"progdef":"greet","with":{"name":[]}}}}`,
			"(document): the flow has 3 edges; the limit is 2 [too-many]"},
		{"values", `{"nodes":{"a":` + c(`"1","2"`) +
			`,"b":{"progdef":"join","with":{"left":["3"],"right":["4"]}}}}`,
			"/nodes: the flow has 4 values; the limit is 3 [too-many]"},
		{"records", `{"nodes":{"a":` + c(`"12345",{"base64":"MTIzNDU="}`) +
			`},"outputs":{"a":"a.out"}}`,
			"/nodes/a/const/values/0: the value has 5 bytes; the limit is 4 [too-large]\n" +
				"/nodes/a/const/values/1: the value has 5 bytes; the limit is 4 [too-large]"},
		{"document", strings.Repeat(" ", 1001),
			"(document): the document has 1001 bytes; the limit is 1000 [too-large]"},
		{"deadline", `{"deadline":"61m"}`, "/deadline: the deadline is 1h1m0s; " +
			"it must be more than 0 and at most 1h0m0s [bad-duration]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, problems := Check([]byte(tt.raw), catalog(t), limits)
			if got := problems.Error(); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// Hints for thousands of misspelled words must not cost more than the check itself.
func TestHintsAreBounded(t *testing.T) {
	known := catalog(t)
	for i := range 5000 {
		known[fmt.Sprintf("progdef%04d", i)] = known["greet"]
	}
	var nodes []string
	for i := range 5000 {
		nodes = append(nodes, fmt.Sprintf(`"n%d":{"progdef":"progdeff%04d"}`, i, i))
	}
	raw := `{"nodes":{` + strings.Join(nodes, ",") + `}}`
	_, _, problems := Check([]byte(raw), known, DefaultLimits())
	first, last := problems[0], problems[len(problems)-2]
	if first.Hint == "" || last.Hint != "" {
		t.Errorf("first %s, last %s", first, last)
	}
}

func FuzzCheck(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		doc, _, _ := strings.Cut(string(raw), "----\n")
		f.Add([]byte(doc))
	}
	known := catalog(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, _, problems := Check(raw, known, DefaultLimits())
		if problems != nil {
			return
		}
		for _, e := range got.Edges {
			if e.Type == "" || e.Sink() == "outputs." || e.Source() == "" {
				t.Errorf("edge %+v of %q", e, raw)
			}
		}
		readsBack(t, got)
	})
}

// BenchmarkCheck measures flows of 10,000 nodes: a chain without type variables, chains of generic nodes that pass on,
// or wrap and unwrap, a type that only a constant at the far end of the document determines, and a tree of generic
// nodes with two outputs each.
func BenchmarkCheck(b *testing.B) {
	const n = 10_000
	for name, raw := range map[string]string{
		"plain-chain":    chainFlow(n, "greet", "name", "greeting", "utf8-string"),
		"generic-chain":  chainFlow(n, "same", "in", "out", "json"),
		"generic-nested": chainFlow(n, "wrap first", "in", "out", "json"),
		"generic-wide":   wideFlow(n),
	} {
		b.Run(name, func(b *testing.B) { benchmarkCheck(b, []byte(raw)) })
	}
}

func benchmarkCheck(b *testing.B, raw []byte) {
	known, limits := catalog(b), DefaultLimits()
	limits.Document.Bytes = 2 << 20
	b.SetBytes(int64(len(raw)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, problems := Check(raw, known, limits); problems != nil {
			b.Fatal(problems)
		}
	}
}

// chainFlow is a chain of n nodes that begins with a constant and alternates between the progdefs.
func chainFlow(n int, progdefs, in, out, typename string) string {
	var nodes, edges []string
	turns := strings.Fields(progdefs)
	for i := range n - 1 {
		nodes = append(nodes, fmt.Sprintf(`"n%d":{"progdef":%q}`, i, turns[i%len(turns)]))
		if i > 0 {
			edges = append(edges, fmt.Sprintf(`{"from":"n%d.%s","to":"n%d.%s"}`, i-1, out, i, in))
		}
	}
	nodes = append(nodes, fmt.Sprintf(`"c":{"const":{"type":%q,"values":[]}}`, typename))
	edges = append(edges, fmt.Sprintf(`{"from":"c.out","to":"n0.%s"}`, in))
	return fmt.Sprintf(`{"nodes":{%s},"edges":[%s],"outputs":{"out":"n%d.%s"}}`,
		strings.Join(nodes, ","), strings.Join(edges, ","), n-2, out)
}

// wideFlow is a tree of n nodes that have two outputs each; the types of the outputs are wrapped.
func wideFlow(n int) string {
	var nodes, edges, outputs []string
	for i := range n - 1 {
		nodes = append(nodes, fmt.Sprintf(`"n%d":{"progdef":"tee"}`, i))
		for side, port := range []string{"left", "right"} {
			if to := 2*i + side + 1; to < n-1 {
				edges = append(edges, fmt.Sprintf(`{"from":"n%d.%s","to":"n%d.in"}`, i, port, to))
			} else {
				outputs = append(outputs, fmt.Sprintf(`"o%d":"n%d.%s"`, to, i, port))
			}
		}
	}
	nodes = append(nodes, `"c":{"const":{"type":"json","values":[]}}`)
	edges = append(edges, `{"from":"c.out","to":"n0.in"}`)
	return fmt.Sprintf(`{"nodes":{%s},"edges":[%s],"outputs":{%s}}`,
		strings.Join(nodes, ","), strings.Join(edges, ","), strings.Join(outputs, ","))
}
