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
		"flow", "flow-client", "flow-const", "flow-empty", "flow-with",
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

// readsBack checks that the normal form survives its way through an event.
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
			"/nodes: the flow has 3 nodes; at most 2 are allowed [too-many]"},
		{"edges", `{"edges":[{"from":"a.b","to":"c.d"},{"from":"a.b","to":"c.d"},` +
			`{"from":"a.b","to":"c.d"}]}`,
			"/edges: the flow has 3 edges; at most 2 are allowed [too-many]"},
		{"edges of every kind", `{"edges":[{"from":"a.b","to":"c.d"}],"inputs":{"a":"b.c"},` +
			`"nodes":{"n":{"progdef":"greet","with":{"name":[]}}}}`,
			"(document): the flow has 3 edges; at most 2 are allowed [too-many]"},
		{"values", `{"nodes":{"a":` + c(`"1","2"`) +
			`,"b":{"progdef":"join","with":{"left":["3"],"right":["4"]}}}}`,
			"/nodes: the flow has 4 values; at most 3 are allowed [too-many]"},
		{"records", `{"nodes":{"a":` + c(`"12345",{"base64":"MTIzNDU="}`) +
			`},"outputs":{"a":"a.out"}}`,
			"/nodes/a/const/values/0: the value has 5 octets; at most 4 are allowed [too-large]\n" +
				"/nodes/a/const/values/1: the value has 5 octets; at most 4 are allowed [too-large]"},
		{"document", strings.Repeat(" ", 1001),
			"(document): the document has 1001 octets; at most 1000 are allowed [too-large]"},
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

// Thousands of misspelt words must not cost more than the check itself.
func TestHintsTire(t *testing.T) {
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

// BenchmarkCheck measures one chain of 10,000 nodes.
func BenchmarkCheck(b *testing.B) {
	var nodes, edges []string
	const n = 10_000
	for i := range n {
		nodes = append(nodes, fmt.Sprintf(`"n%d":{"progdef":"greet"}`, i))
		if i > 0 {
			edges = append(edges, fmt.Sprintf(`{"from":"n%d.greeting","to":"n%d.name"}`, i-1, i))
		}
	}
	raw := []byte(fmt.Sprintf(
		`{"nodes":{%s},"edges":[%s],"inputs":{"in":"n0.name"},"outputs":{"out":"n%d.greeting"}}`,
		strings.Join(nodes, ","), strings.Join(edges, ","), n-1))
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
