package flow

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// TestSolverAgreesWithSubstitution compares the solver with a simple one: which edges it rejects, whether it accepts
// the flow, and the typename of every edge.
func TestSolverAgreesWithSubstitution(t *testing.T) {
	accepted, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		w := drawWeb(t)
		want := w.substitute()
		f, _, problems := Check(w.json(nil, nil), w.known, DefaultLimits())
		if got := w.refused(t, problems); !slices.Equal(got, want.refused) {
			t.Fatalf("edges %v rejected, want %v:\n%v\n%s", got, want.refused, problems, w)
		}
		if len(want.refused) > 0 {
			refused++
			return
		}
		if (problems == nil) != want.solved {
			t.Fatalf("solved %v, but\n%v\n%s", want.solved, problems, w)
		}
		if problems == nil {
			accepted++
			w.compare(t, f, want.types)
		}
	})
	if accepted < 5 || refused < 5 {
		t.Errorf("%d flows accepted, %d rejected: the test is meaningless", accepted, refused)
	}
}

// TestOrderDoesNotMatter shuffles the edges and renames the nodes. That may change at which edge a conflict is
// reported, but neither whether there is one nor any typename.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWeb(t)
		first, _, p1 := Check(w.json(nil, nil), w.known, DefaultLimits())
		order := rapid.Permutation(indices(len(w.edges))).Draw(t, "order")
		names := rapid.Permutation(slices.Clone(w.names())).Draw(t, "names")
		second, _, p2 := Check(w.json(order, names), w.known, DefaultLimits())
		if (p1 == nil) != (p2 == nil) {
			t.Fatalf("as drawn:\n%v\nin order %v, with the names %v:\n%v\n%s", p1, order, names, p2, w)
		}
		if p1 == nil && !maps.Equal(typesOf(first), typesOf(renamed(second, names, w.names()))) {
			t.Fatalf("%v\n%v\n%s", typesOf(first), typesOf(second), w)
		}
	})
}

func indices(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

func typesOf(f Flow) map[string]string {
	out := map[string]string{}
	for _, e := range f.Edges {
		out[e.From+e.Source()+" "+e.Sink()] = e.Type
	}
	return out
}

// renamed restores the former names of nodes in the ends of edges.
func renamed(f Flow, now, before []string) Flow {
	back := map[string]string{}
	for i, n := range now {
		back[n] = before[i]
	}
	rename := func(endpoint string) string {
		node, port, found := strings.Cut(endpoint, ".")
		if !found {
			return endpoint
		}
		return back[node] + "." + port
	}
	for i, e := range f.Edges {
		if e.Const != nil {
			e.Const = &Const{Node: back[e.Const.Node]}
		}
		e.From, e.To = rename(e.From), rename(e.To)
		f.Edges[i] = e
	}
	return f
}

// A web is a flow of generic progdefs with a valid graph, so only its types can be wrong.
type web struct {
	known Catalog
	nodes []webNode
	edges []webEdge
}

// A webNode is a use of a progdef, or a constant of a type.
type webNode struct{ name, progdef, constant string }

// A webEdge joins two ports "node.port" by the numbers of their nodes; a node of -1 is the flow.
type webEdge struct {
	from, to         int
	fromPort, toPort string
}

func (w *web) names() []string {
	out := make([]string, len(w.nodes))
	for i, n := range w.nodes {
		out[i] = n.name
	}
	return out
}

func (w *web) String() string {
	var b strings.Builder
	for _, name := range sortedKeys(w.known) {
		text, _ := json.Marshal(w.known[name].Document)
		fmt.Fprintf(&b, "%s\n", text)
	}
	return b.String() + string(w.json(nil, nil))
}

// drawWeb draws up to 4 progdefs and 7 uses of them. Every input is fed by an output of an earlier node, by a constant,
// or by the flow itself.
func drawWeb(t *rapid.T) *web {
	w := &web{known: Catalog{}}
	for i := range rapid.IntRange(1, 4).Draw(t, "progdefs") {
		doc := drawGeneric(t, fmt.Sprintf("p%d", i))
		w.known[doc.Name] = doc.Pin()
	}
	type port struct {
		node int
		name string
	}
	var open []port
	for i := range rapid.IntRange(0, 7).Draw(t, "nodes") {
		used := rapid.SampledFrom(sortedKeys(w.known)).Draw(t, "progdef")
		w.nodes = append(w.nodes, webNode{name: fmt.Sprintf("n%d", i), progdef: used})
		n := len(w.nodes) - 1
		for _, in := range sortedKeys(w.known[used].Document.Inputs) {
			e := webEdge{from: -1, to: n, toPort: in}
			switch how := rapid.IntRange(0, 5).Draw(t, "source"); {
			case how == 0:
			case how == 1 || len(open) == 0:
				w.nodes = append(w.nodes, webNode{
					name:     fmt.Sprintf("c%d", len(w.nodes)),
					constant: drawType(t, nil, 2).String(),
				})
				e.from, e.fromPort = len(w.nodes)-1, "out"
			default:
				k := rapid.IntRange(0, len(open)-1).Draw(t, "open")
				e.from, e.fromPort = open[k].node, open[k].name
				open = slices.Delete(open, k, k+1)
			}
			w.edges = append(w.edges, e)
		}
		for _, out := range sortedKeys(w.known[used].Document.Outputs) {
			open = append(open, port{n, out})
		}
	}
	for _, p := range open {
		w.edges = append(w.edges, webEdge{from: p.node, fromPort: p.name, to: -1})
	}
	if len(w.edges) > 0 {
		w.edges = rapid.Permutation(w.edges).Draw(t, "edges")
	}
	return w
}

func drawGeneric(t *rapid.T, name string) progdef.Document {
	params := []string{"T", "U"}[:rapid.IntRange(0, 2).Draw(t, "params")]
	doc := progdef.Document{Name: name, TypeParams: params}
	draw := func(side string) map[string]progdef.Port {
		out := map[string]progdef.Port{}
		for i := range rapid.IntRange(0, 2).Draw(t, side) {
			typename := drawType(t, params, rapid.IntRange(0, 2).Draw(t, "levels"))
			out[fmt.Sprintf("%s%d", side, i)] = progdef.Port{Type: typename.String()}
		}
		return out
	}
	doc.Inputs, doc.Outputs = draw("in"), draw("out")
	used := fmt.Sprint(doc.Inputs, doc.Outputs)
	doc.TypeParams = slices.DeleteFunc(slices.Clone(params), func(p string) bool {
		return !strings.Contains(used, p)
	})
	return doc
}

// drawType draws a type parameter with a probability of 3 in 4.
func drawType(t *rapid.T, params []string, levels int) progdef.Typename {
	names := []string{"a", "b"}
	for range 3 {
		names = append(names, params...)
	}
	if levels == 0 {
		return progdef.Typename{Name: rapid.SampledFrom(names).Draw(t, "name")}
	}
	names = append(names, "list", "Pair", "Quad")
	out := progdef.Typename{Name: rapid.SampledFrom(names).Draw(t, "name")}
	for range map[string]int{"list": 1, "Pair": 2, "Quad": 4}[out.Name] {
		out.Args = append(out.Args, drawType(t, params, levels-1))
	}
	return out
}

// json writes the web as a flow document: its edges in an order, its nodes under other names.
func (w *web) json(order []int, names []string) []byte {
	if order == nil {
		order = indices(len(w.edges))
	}
	if names == nil {
		names = w.names()
	}
	g := graph{
		Nodes: map[string]map[string]any{}, Edges: []map[string]any{},
		Inputs: map[string]string{}, Outputs: map[string]string{}, Deadline: "1h",
	}
	for i, n := range w.nodes {
		g.Nodes[names[i]] = map[string]any{"progdef": n.progdef}
		if n.constant != "" {
			g.Nodes[names[i]] = map[string]any{
				"const": map[string]any{"type": n.constant, "values": []any{}},
			}
		}
	}
	for _, i := range order {
		e := w.edges[i]
		switch {
		case e.from < 0:
			g.Inputs[fmt.Sprintf("i%d", i)] = names[e.to] + "." + e.toPort
		case e.to < 0:
			g.Outputs[fmt.Sprintf("o%d", i)] = names[e.from] + "." + e.fromPort
		default:
			g.addEdge(names[e.from]+"."+e.fromPort, names[e.to]+"."+e.toPort)
		}
	}
	raw, _ := json.Marshal(g)
	return raw
}

// refused returns the numbers of the edges with type problems.
func (w *web) refused(t *rapid.T, problems problem.List) []int {
	var inner []int // edges of the document are those between nodes
	for i, e := range w.edges {
		if e.from >= 0 && e.to >= 0 {
			inner = append(inner, i)
		}
	}
	var out []int
	for _, p := range problems {
		var n int
		if p.Code == problem.UnsolvedType {
			continue
		}
		if _, err := fmt.Sscanf(p.Pointer, "/edges/%d", &n); err != nil {
			t.Fatalf("%s\n%s", p, w)
		}
		out = append(out, inner[n])
	}
	slices.Sort(out)
	return out
}

func (w *web) compare(t *rapid.T, f Flow, types map[int]string) {
	got := typesOf(f)
	for i, e := range w.edges {
		source, sink := fmt.Sprintf("inputs.i%d", i), fmt.Sprintf("outputs.o%d", i)
		if e.from >= 0 {
			source = w.nodes[e.from].name + "." + e.fromPort
			if w.nodes[e.from].constant == "" {
				source += source
			}
		}
		if e.to >= 0 {
			sink = w.nodes[e.to].name + "." + e.toPort
		}
		if got[source+" "+sink] != types[i] {
			t.Fatalf("%s -> %s is %s, want %s\n%s", source, sink, got[source+" "+sink], types[i], w)
		}
	}
}

// The simple, slow solver: types are trees. Each variable that an equation determines is replaced everywhere, until
// nothing changes.

// An answer is the result of solving a web.
type answer struct {
	refused []int
	types   map[int]string
	solved  bool
}

func (w *web) substitute() answer {
	var held []webEdge
	out := answer{types: map[int]string{}, solved: true}
	for i, e := range w.edges {
		if e.from < 0 || e.to < 0 {
			continue
		}
		if w.hold(append(slices.Clone(held), e)) == nil {
			out.refused = append(out.refused, i)
			continue
		}
		held = append(held, e)
	}
	solution := w.hold(held)
	for i, e := range w.edges {
		port := w.port(e.from, e.fromPort, true)
		if e.from < 0 {
			port = w.port(e.to, e.toPort, false)
		}
		out.types[i] = apply(solution, port).String()
	}
	for v := range w.variables() {
		if t, ok := solution[v]; !ok || strings.Contains(t.String(), "$") {
			out.solved = false
		}
	}
	return out
}

// hold returns the variables that the edges determine, or nil if the edges contradict each other or make a type too
// large.
func (w *web) hold(edges []webEdge) map[string]progdef.Typename {
	solution := map[string]progdef.Typename{}
	for changed := true; changed; {
		changed = false
		for _, e := range edges {
			a := apply(solution, w.port(e.from, e.fromPort, true))
			b := apply(solution, w.port(e.to, e.toPort, false))
			name, value, ok := differ(a, b)
			switch {
			case !ok || name != "" && mentions(value, name):
				return nil
			case name == "":
				continue
			}
			for v, t := range solution {
				solution[v] = apply(map[string]progdef.Typename{name: value}, t)
			}
			solution[name] = value
			changed = true
			if !w.small(solution) {
				return nil
			}
		}
	}
	return solution
}

// differ returns the first variable whose replacement makes two types more similar; ok is false if there is none.
func differ(a, b progdef.Typename) (name string, value progdef.Typename, ok bool) {
	switch {
	case a.Equal(b):
		return "", progdef.Typename{}, true
	case strings.HasPrefix(a.Name, "$"):
		return a.Name, b, true
	case strings.HasPrefix(b.Name, "$"):
		return b.Name, a, true
	case a.Name != b.Name || len(a.Args) != len(b.Args):
		return "", progdef.Typename{}, false
	}
	for i := range a.Args {
		if name, value, ok := differ(a.Args[i], b.Args[i]); !ok || name != "" {
			return name, value, ok
		}
	}
	return "", progdef.Typename{}, true
}

// small reports whether every port of every linked node has a type within the limits. A variable counts as the shortest
// possible typename.
func (w *web) small(solution map[string]progdef.Typename) bool {
	for _, e := range w.edges {
		for _, t := range []progdef.Typename{
			w.port(e.from, e.fromPort, true), w.port(e.to, e.toPort, false),
		} {
			t = shortened(apply(solution, t))
			if _, err := progdef.ParseTypename(t.String()); err != nil {
				return false
			}
		}
	}
	return true
}

func shortened(t progdef.Typename) progdef.Typename {
	if strings.HasPrefix(t.Name, "$") {
		return progdef.Typename{Name: "v"}
	}
	out := progdef.Typename{Name: t.Name}
	for _, a := range t.Args {
		out.Args = append(out.Args, shortened(a))
	}
	return out
}

func apply(solution map[string]progdef.Typename, t progdef.Typename) progdef.Typename {
	if s, ok := solution[t.Name]; ok {
		return s
	}
	out := progdef.Typename{Name: t.Name}
	for _, a := range t.Args {
		out.Args = append(out.Args, apply(solution, a))
	}
	return out
}

// port returns the type of a port, with variables such as $n1.T for type parameters.
func (w *web) port(node int, port string, output bool) progdef.Typename {
	if node < 0 {
		return progdef.Typename{Name: "any"}
	}
	n := w.nodes[node]
	if n.constant != "" {
		t, _ := progdef.ParseTypename(n.constant)
		return t
	}
	doc := w.known[n.progdef].Document
	ports := doc.Inputs
	if output {
		ports = doc.Outputs
	}
	t, _ := progdef.ParseTypename(ports[port].Type)
	return apply(w.own(n), t)
}

func (w *web) own(n webNode) map[string]progdef.Typename {
	out := map[string]progdef.Typename{}
	for _, p := range w.known[n.progdef].Document.TypeParams {
		out[p] = progdef.Typename{Name: "$" + n.name + "." + p}
	}
	return out
}

func (w *web) variables() map[string]bool {
	out := map[string]bool{}
	for _, n := range w.nodes {
		for _, v := range w.own(n) {
			out[v.Name] = true
		}
	}
	return out
}
