package flow

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/typedoc"
)

// Each testdata/subflow/*.txt has paragraphs, and then a line "----" and the result of each: a progdef is published, the
// name of one is removed from the catalogue, and anything else is a flow to be checked.
func TestSubflowGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/subflow/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			script, want, _ := strings.Cut(string(raw), "----\n")
			known := Known{Progdefs: catalog(t), Types: typedoc.Summaries()}
			var got strings.Builder
			for i, paragraph := range strings.Split(strings.TrimSpace(script), "\n\n") {
				fmt.Fprintf(&got, "%d: %s", i+1, known.follow(t, paragraph))
			}
			if *update {
				if err := os.WriteFile(file, []byte(script+"----\n"+got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got.String() != want {
				t.Errorf("got\n%s\nwant\n%s", got.String(), want)
			}
		})
	}
}

// follow carries out a paragraph of a script, and returns what came of it.
func (k Known) follow(t *testing.T, text string) string {
	if name, ok := strings.CutPrefix(text, "remove "); ok {
		delete(k.Progdefs, name)
		return "removed\n"
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		t.Fatal(err, text)
	}
	if fields["name"] == nil {
		return k.outcome(t, text)
	}
	doc, problems := k.publish([]byte(text))
	if problems != nil {
		return lines(problems)
	}
	return fmt.Sprintf("published %s%v: %s -> %s\n", doc.Name, doc.TypeParams, signature(doc.Inputs), signature(doc.Outputs))
}

// publish puts a progdef into the catalogue.
func (k Known) publish(raw []byte) (progdef.Document, problem.List) {
	doc, problems := progdef.Check(raw, document.DefaultLimits())
	if doc.Flow != nil {
		var more problem.List
		doc, more = k.Subflow(doc, DefaultLimits())
		problems = append(problems, more...)
	}
	if problems == nil {
		k.Progdefs[doc.Name] = doc.Pin()
	}
	return doc, problems
}

func lines(problems problem.List) string {
	out := "refused\n"
	for _, p := range problems.Sorted() {
		out += "   " + p.String() + "\n"
	}
	return out
}

func signature(ports map[string]progdef.Port) string {
	var out []string
	for _, name := range sortedKeys(ports) {
		out = append(out, name+" "+ports[name].Type)
	}
	return "(" + strings.Join(out, ", ") + ")"
}

func (k Known) outcome(t *testing.T, doc string) string {
	f, pinned, problems := k.Check([]byte(doc), DefaultLimits())
	if problems != nil {
		return lines(problems)
	}
	out := "valid, pinned " + strings.Join(sortedKeys(pinned), " ") + "\n"
	for _, name := range sortedKeys(f.Subflows) {
		s := f.Subflows[name]
		out += fmt.Sprintf("   %s is %s, part of %q: %v, %v -> %v\n", name, s.Progdef, s.Subflow, s.Types, s.Inputs, s.Outputs)
	}
	for _, name := range sortedKeys(f.Nodes) {
		out += fmt.Sprintf("   %s runs %s, part of %q\n", name, f.Nodes[name].Progdef, f.Nodes[name].Subflow)
	}
	for i, e := range f.Edges {
		out += fmt.Sprintf("   edge %d: %s -> %s : %s%s\n", i, e.Source(), e.Sink(), e.Type, values(t, e))
	}
	return out
}

// A flow does the same whether some of its nodes are in a subflow or not. If their streams leave the subflow and come
// back, that is no cycle.
func TestFoldingChangesNothing(t *testing.T) {
	progdefs := plain(t)
	rapid.Check(t, func(t *rapid.T) {
		known := Known{Progdefs: maps.Clone(progdefs), Types: typedoc.Summaries()}
		g := drawGraph(t, known.Progdefs)
		want, _, problems := known.Check(g.json(t), DefaultLimits())
		if problems != nil {
			t.Fatal(problems)
		}
		folded := map[string]bool{}
		for _, name := range sortedKeys(want.Nodes) {
			folded[name] = rapid.Bool().Draw(t, "folded "+name)
		}
		sub, outer := fold(want, folded)
		raw, _ := json.Marshal(map[string]any{"name": "folded", "flow": sub})
		if _, problems := known.publish(raw); problems != nil {
			t.Fatalf("%v\n%s", problems, raw)
		}
		raw, _ = json.Marshal(outer)
		got, _, problems := known.Check(raw, DefaultLimits())
		if problems != nil {
			t.Fatalf("%v\n%s", problems, raw)
		}
		rename := func(name string) string {
			if node, _, _ := strings.Cut(name, "."); folded[node] {
				return "sub--" + name
			}
			return name
		}
		if a, b := told(want, rename), told(got, func(s string) string { return s }); !slices.Equal(a, b) {
			t.Fatalf("want\n%s\ngot\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
		}
	})
}

// fold writes a flow as a flow with one node "sub", which contains the folded nodes.
func fold(f Flow, folded map[string]bool) (sub, outer map[string]any) {
	type object = map[string]any
	nodes, edges := [2]object{{}, {}}, [2][]object{}
	inputs, outputs := [2]object{{}, {}}, [2]object{{}, {}}
	side := func(end string) int {
		if node, _, _ := strings.Cut(end, "."); folded[node] {
			return 1
		}
		return 0
	}
	for name, n := range f.Nodes {
		nodes[side(name)][name] = object{"progdef": n.Progdef}
	}
	for i, e := range f.Edges {
		from, to, port := e.From, e.To, fmt.Sprintf("port%d", i)
		if e.Const != nil {
			from = port + "-values.out"
			nodes[0][port+"-values"] = object{"const": object{"type": e.Type, "values": e.Const.Values}}
		}
		if side(from) != side(to) || e.Input != "" && side(to) == 1 || e.Output != "" && side(from) == 1 {
			if side(to) == 1 {
				inputs[1][port], to = to, "sub."+port
			} else {
				outputs[1][port], from = from, "sub."+port
			}
		}
		switch {
		case e.Input != "":
			inputs[side(to)][e.Input] = to
		case e.Output != "":
			outputs[side(from)][e.Output] = from
		default:
			edges[side(from)] = append(edges[side(from)], object{"from": from, "to": to})
		}
	}
	out := [2]map[string]any{}
	for i := range out {
		out[i] = object{"nodes": nodes[i], "edges": append([]object{}, edges[i]...), "inputs": inputs[i], "outputs": outputs[i]}
	}
	nodes[0]["sub"] = object{"progdef": "folded"}
	return out[1], out[0]
}

// told lists the nodes and edges of a flow, in order.
func told(f Flow, rename func(string) string) []string {
	var out []string
	for name, n := range f.Nodes {
		out = append(out, rename(name)+" runs "+n.Progdef)
	}
	for _, e := range f.Edges {
		from := rename(e.From) + e.Input
		if e.Const != nil {
			values, _ := json.Marshal(e.Const.Values)
			from = string(values)
		}
		out = append(out, from+" -> "+rename(e.To)+e.Output+" : "+e.Type)
	}
	slices.Sort(out)
	return out
}

// Flows that use each other twice on each of many levels are refused before they are expanded.
func TestSubflowsAreCounted(t *testing.T) {
	known := Known{Progdefs: catalog(t), Types: typedoc.Summaries()}
	for level := range maxNesting {
		uses := map[string]any{}
		for i := range 8 {
			part := "same"
			if level > 0 {
				part = fmt.Sprintf("level%d", level-1)
			}
			uses[fmt.Sprintf("n%d", i)] = map[string]any{"progdef": part}
		}
		edges, inputs, outputs := []any{}, map[string]any{}, map[string]any{}
		inputs["in"], outputs["out"] = "n0.in", "n7.out"
		for i := range 7 {
			edges = append(edges, map[string]any{"from": fmt.Sprintf("n%d.out", i), "to": fmt.Sprintf("n%d.in", i+1)})
		}
		raw, _ := json.Marshal(map[string]any{"name": fmt.Sprintf("level%d", level), "flow": map[string]any{
			"nodes": uses, "edges": edges, "inputs": inputs, "outputs": outputs,
		}})
		_, problems := known.publish(raw)
		switch {
		case level < 4 && problems != nil:
			t.Fatal(level, problems)
		case level == 4: // 8^5 nodes
			if len(problems) != 1 || problems[0].Code != problem.TooMany || problems[0].Pointer != "/flow/nodes" {
				t.Errorf("%d nodes: %v", 32768, problems)
			}
			return
		}
	}
}

// What counts is the expanded flow: neither the node that is replaced, nor its edges twice.
func TestLimitsAreThoseOfTheExpandedFlow(t *testing.T) {
	known := Known{Progdefs: catalog(t), Types: typedoc.Summaries()}
	if _, problems := known.publish([]byte(`{"name": "two", "flow": {"nodes": {"a": {"progdef": "greet"}, "b": {"progdef": "greet"}},
		"edges": [{"from": "a.greeting", "to": "b.name"}], "inputs": {"in": "a.name"}, "outputs": {"out": "b.greeting"}}}`)); problems != nil {
		t.Fatal(problems)
	}
	const doc = `{"nodes": {"x": {"progdef": "two"}, "y": {"progdef": "two"}}, "edges": [{"from": "x.out", "to": "y.in"}],
		"inputs": {"in": "x.in"}, "outputs": {"out": "y.out"}}`
	limits := DefaultLimits()
	limits.Nodes, limits.Edges = 4, 5
	if f, _, problems := known.Check([]byte(doc), limits); problems != nil || len(f.Nodes) != 4 || len(f.Edges) != 5 {
		t.Error(len(f.Nodes), len(f.Edges), problems)
	}
	limits.Nodes, limits.Edges = 3, 4
	if _, _, problems := known.Check([]byte(doc), limits); len(problems) != 2 {
		t.Error(problems)
	}
}

// The values of a subflow count each time that it is used.
func TestValuesOfSubflowsAreCounted(t *testing.T) {
	known := Known{Progdefs: catalog(t), Types: typedoc.Summaries()}
	raw := fmt.Sprintf(`{"name": "large", "flow": {"nodes": {"g": {"progdef": "greet", "with": {"name": [%q]}}}, "outputs": {"o": "g.greeting"}}}`,
		strings.Repeat("x", 60<<10))
	if _, problems := known.publish([]byte(raw)); problems != nil {
		t.Fatal(problems)
	}
	uses := func(n int) problem.List {
		nodes, outputs := map[string]any{}, map[string]any{}
		for i := range n {
			name := fmt.Sprintf("n%d", i)
			nodes[name], outputs[name] = map[string]any{"progdef": "large"}, name+".o"
		}
		doc, _ := json.Marshal(map[string]any{"nodes": nodes, "outputs": outputs})
		_, _, problems := known.Check(doc, DefaultLimits())
		return problems
	}
	if problems := uses(60); problems != nil {
		t.Error(problems)
	}
	if problems := uses(80); len(problems) != 1 || !strings.Contains(problems[0].Message, "bytes of values; the limit is 4194304") {
		t.Error(problems)
	}
}

// Flows that are too large together are not all checked.
func TestLargeSubflowsAreCheckedOnce(t *testing.T) {
	known := Known{Progdefs: catalog(t), Types: typedoc.Summaries()}
	nodes := map[string]any{}
	for i := range 6000 { // broken ones, since these are not counted by their result
		nodes[fmt.Sprintf("n%d", i)] = map[string]any{"progdef": "nothing"}
	}
	body, _ := json.Marshal(map[string]any{"nodes": nodes})
	uses := map[string]any{}
	for i := range 10 {
		name := fmt.Sprintf("large%d", i)
		known.Progdefs[name] = progdef.Pinned{Document: progdef.Document{Name: name, Flow: body}}
		uses[name] = map[string]any{"progdef": name}
	}
	raw, _ := json.Marshal(map[string]any{"nodes": uses})
	c := newChecker(known, DefaultLimits())
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	if c.doc = fieldsOf(doc); c.countable() || len(c.subflows.done) != 2 {
		t.Errorf("%d flows were checked", len(c.subflows.done))
	}
}

// A flow cannot leave more types open than a progdef may declare: it could not be copied.
func TestOpenTypesAreCounted(t *testing.T) {
	for _, open := range []int{progdef.MaxTypeParams, progdef.MaxTypeParams + 1} {
		known := Known{Progdefs: catalog(t), Types: typedoc.Summaries()}
		nodes, inputs := map[string]any{}, map[string]any{}
		for i := range open {
			name := fmt.Sprintf("n%d", i)
			nodes[name], inputs[name] = map[string]any{"progdef": "ignore"}, name+".in"
		}
		raw, _ := json.Marshal(map[string]any{"name": "open", "flow": map[string]any{"nodes": nodes, "inputs": inputs}})
		_, problems := known.publish(raw)
		if refused := problems != nil; refused != (open > progdef.MaxTypeParams) {
			t.Error(open, problems)
		}
	}
}

// Names that would be too long end in a digest, so that they stay different and valid.
func TestJoin(t *testing.T) {
	long := strings.Repeat("a", document.MaxName)
	names := map[string]bool{}
	for _, inner := range []string{"x", long, long[1:] + "b", "x_y"} {
		for _, outer := range []string{"y", long, "-"[1:] + "z"} {
			name := join(outer, inner)
			if !document.ValidName(name) || names[name] {
				t.Errorf("%s in %s is named %s", inner, outer, name)
			}
			names[name] = true
		}
	}
	if got := join("clean", "trim"); got != "clean--trim" {
		t.Error(got)
	}
}

// A progdef's flow is part of its revision, whatever the order of its members.
func TestRevisionOfSubflow(t *testing.T) {
	revision := func(flow string) string {
		known := Known{Progdefs: maps.Clone(catalog(t))}
		doc, problems := known.publish([]byte(`{"name":"x","flow":` + flow + `}`))
		if problems != nil {
			t.Fatal(problems)
		}
		return doc.Revision()
	}
	a := revision(`{"nodes":{"g":{"progdef":"greet"}},"inputs":{"name":"g.name"},"outputs":{"out":"g.greeting"}}`)
	b := revision(`{"outputs":{"out":"g.greeting"}, "inputs":{"name":"g.name"},"nodes":{"g":{"progdef":"greet"}}}`)
	c := revision(`{"nodes":{"h":{"progdef":"greet"}},"inputs":{"name":"h.name"},"outputs":{"out":"h.greeting"}}`)
	if a != b || a == c {
		t.Error(a, b, c)
	}
}
