package flow

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dagyo/dagyo/pkg/problem"
)

// TestRandomGraphs draws valid graphs, which must be accepted, and breaks each in one way. The fault must be reported
// with the right code at the right pointer.
func TestRandomGraphs(t *testing.T) {
	known := plain(t)
	rapid.Check(t, func(t *rapid.T) {
		g := drawGraph(t, known)
		f, _, problems := Check(g.json(t), known, DefaultLimits())
		if problems != nil {
			t.Fatalf("valid graph rejected:\n%v\n%s", problems, g.json(t))
		}
		if want := g.streams(); len(f.Edges) != want {
			t.Fatalf("%d edges in normal form, want %d", len(f.Edges), want)
		}
		breakGraph(t, g)
		code, pointer := g.broken.code, g.broken.pointer
		_, _, problems = Check(g.json(t), known, DefaultLimits())
		if !slices.ContainsFunc(problems, func(p problem.Problem) bool {
			return p.Code == code && p.Pointer == pointer
		}) {
			t.Fatalf("want %s at %s, got\n%v\n%s", code, pointer, problems, g.json(t))
		}
	})
}

// Answers must not depend on the order of map iteration.
func TestAnswersAreDeterministic(t *testing.T) {
	known := plain(t)
	rapid.Check(t, func(t *rapid.T) {
		g := drawGraph(t, known)
		if rapid.Bool().Draw(t, "broken") {
			breakGraph(t, g)
		}
		raw := g.json(t)
		f1, _, p1 := Check(raw, known, DefaultLimits())
		f2, _, p2 := Check(raw, known, DefaultLimits())
		a, _ := json.Marshal(f1)
		b, _ := json.Marshal(f2)
		if p1.Error() != p2.Error() || string(a) != string(b) {
			t.Fatalf("two answers:\n%v\n%v\n%s\n%s", p1, p2, a, b)
		}
	})
}

// A graph is a flow document that can be changed.
type graph struct {
	Nodes   map[string]map[string]any `json:"nodes"`
	Edges   []map[string]any          `json:"edges"`
	Inputs  map[string]string         `json:"inputs"`
	Outputs map[string]string         `json:"outputs"`

	Deadline string `json:"deadline"`
	Extra    any    `json:"extra,omitempty"`

	open   []openEnd
	broken fault
}

// An openEnd is an output that nothing reads yet.
type openEnd struct{ endpoint, typename string }

// A fault is the problem that must be reported for a broken graph.
type fault struct {
	code    problem.Code
	pointer string
}

func (g *graph) json(t *rapid.T) []byte {
	raw, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (g *graph) streams() int {
	n := len(g.Edges) + len(g.Inputs) + len(g.Outputs)
	for _, node := range g.Nodes {
		with, _ := node["with"].(map[string]any)
		n += len(with)
	}
	return n
}

func drawGraph(t *rapid.T, known Catalog) *graph {
	g := &graph{
		Nodes: map[string]map[string]any{}, Edges: []map[string]any{},
		Inputs: map[string]string{}, Outputs: map[string]string{}, Deadline: "1h",
	}
	names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z][a-z0-9_-]{0,3}[a-z0-9]`),
		0, 8, rapid.ID).Draw(t, "names")
	for _, name := range names {
		g.addNode(t, known, name)
	}
	for i, o := range g.open {
		g.Outputs[fmt.Sprintf("o%d", i)] = o.endpoint
	}
	if len(g.Edges) > 0 {
		g.Edges = rapid.Permutation(g.Edges).Draw(t, "edges")
	}
	return g
}

// addNode adds a node whose inputs are fed by existing nodes, so the graph has no cycle.
func (g *graph) addNode(t *rapid.T, known Catalog, name string) {
	used := rapid.SampledFrom(sortedKeys(known)).Draw(t, "progdef")
	doc := known[used].Document
	g.Nodes[name] = map[string]any{"progdef": used}
	for _, port := range sortedKeys(doc.Inputs) {
		g.feed(t, name, port, doc.Inputs[port].Type)
	}
	for _, port := range sortedKeys(doc.Outputs) {
		g.open = append(g.open, openEnd{name + "." + port, doc.Outputs[port].Type})
	}
}

func (g *graph) feed(t *rapid.T, node, port, typename string) {
	to := node + "." + port
	switch rapid.IntRange(0, 4).Draw(t, "source") {
	case 0:
		g.Inputs[fmt.Sprintf("i%d", len(g.Inputs))] = to
	case 1:
		with, _ := g.Nodes[node]["with"].(map[string]any)
		if with == nil {
			with = map[string]any{}
			g.Nodes[node]["with"] = with
		}
		with[port] = []any{"1", map[string]any{"base64": "MQ=="}}
	case 2:
		g.addConst(to, typename)
	default:
		i := slices.IndexFunc(g.open, func(o openEnd) bool { return o.typename == typename })
		if i < 0 {
			g.addConst(to, typename)
			return
		}
		g.addEdge(g.open[i].endpoint, to)
		g.open = slices.Delete(g.open, i, i+1)
	}
}

func (g *graph) addConst(to, typename string) {
	name := fmt.Sprintf("const-%d", len(g.Nodes))
	g.Nodes[name] = map[string]any{
		"const": map[string]any{"type": typename, "values": []any{"1"}},
	}
	g.addEdge(name+".out", to)
}

func (g *graph) addEdge(from, to string) {
	g.Edges = append(g.Edges, map[string]any{"from": from, "to": to})
}

// breakGraph changes a valid graph in one way that makes it invalid.
func breakGraph(t *rapid.T, g *graph) {
	ways := []func(*rapid.T){
		g.addUnfed, g.addUnread, g.addUnknownProgdef, g.addLoop, g.addBadName, g.addExtra,
		g.setDeadline, g.addBadValue, g.addMismatch,
	}
	if len(g.Edges) > 0 {
		ways = append(ways, g.removeEdge, g.repeatEdge, g.feedTwice, g.readTwice, g.turn,
			g.misspellNode, g.misspellPort, g.dropPort)
	}
	rapid.SampledFrom(ways).Draw(t, "way")(t)
}

func (g *graph) breaks(code problem.Code, path ...string) {
	g.broken = fault{code, problem.Pointer(path...)}
}

// edge draws one of the edges and returns it with its number.
func (g *graph) edge(t *rapid.T) (map[string]any, string) {
	i := rapid.IntRange(0, len(g.Edges)-1).Draw(t, "edge")
	return g.Edges[i], fmt.Sprint(i)
}

func (g *graph) last() string { return fmt.Sprint(len(g.Edges) - 1) }

func nodeOf(endpoint any) string {
	name, _, _ := strings.Cut(endpoint.(string), ".")
	return name
}

func (g *graph) addUnfed(*rapid.T) {
	g.Nodes["bad"] = map[string]any{"progdef": "greet"}
	g.Outputs["bad"] = "bad.greeting"
	g.breaks(problem.NoSource, "nodes", "bad")
}

func (g *graph) addUnread(*rapid.T) {
	g.Nodes["bad"] = map[string]any{"progdef": "greet"}
	g.Inputs["bad"] = "bad.name"
	g.breaks(problem.NoSink, "nodes", "bad")
}

func (g *graph) addUnknownProgdef(*rapid.T) {
	g.Nodes["bad"] = map[string]any{"progdef": "nothing"}
	g.breaks(problem.UnknownProgdef, "nodes", "bad", "progdef")
}

func (g *graph) addLoop(*rapid.T) {
	for _, name := range []string{"loop1", "loop2"} {
		g.Nodes[name] = map[string]any{"progdef": "greet"}
	}
	g.addEdge("loop1.greeting", "loop2.name")
	g.addEdge("loop2.greeting", "loop1.name")
	g.breaks(problem.Cycle, "edges", g.last())
}

func (g *graph) addBadName(*rapid.T) {
	g.Nodes["Bad.name"] = map[string]any{"progdef": "greet"}
	g.breaks(problem.BadName, "nodes", "Bad.name")
}

func (g *graph) addExtra(*rapid.T) {
	g.Extra = 1
	g.breaks(problem.UnknownField, "extra")
}

func (g *graph) setDeadline(t *rapid.T) {
	g.Deadline = rapid.SampledFrom([]string{"0s", "145h", "-1s", "soon", ""}).Draw(t, "deadline")
	g.breaks(problem.BadDuration, "deadline")
}

func (g *graph) addBadValue(*rapid.T) {
	g.Nodes["bad"] = map[string]any{
		"const": map[string]any{"type": "json", "values": []any{"1", "{"}},
	}
	g.Outputs["bad"] = "bad.out"
	g.breaks(problem.BadValue, "nodes", "bad", "const", "values", "1")
}

func (g *graph) addMismatch(*rapid.T) {
	g.Nodes["bad"] = map[string]any{"progdef": "void_sink"}
	g.Nodes["text"] = map[string]any{
		"const": map[string]any{"type": "utf8-string", "values": []any{}},
	}
	g.addEdge("text.out", "bad.items")
	g.breaks(problem.TypeMismatch, "edges", g.last())
}

func (g *graph) removeEdge(t *rapid.T) {
	e, _ := g.edge(t)
	g.Edges = slices.DeleteFunc(g.Edges, func(o map[string]any) bool {
		return o["from"] == e["from"] && o["to"] == e["to"]
	})
	g.breaks(problem.NoSource, "nodes", nodeOf(e["to"]))
}

func (g *graph) repeatEdge(t *rapid.T) {
	e, _ := g.edge(t)
	g.Edges = append(g.Edges, e)
	g.breaks(problem.ManySources, "edges", g.last())
}

func (g *graph) feedTwice(t *rapid.T) {
	e, _ := g.edge(t)
	g.Inputs["again"] = e["to"].(string)
	g.breaks(problem.ManySources, "inputs", "again")
}

func (g *graph) readTwice(t *rapid.T) {
	e, _ := g.edge(t)
	g.Outputs["again"] = e["from"].(string)
	g.breaks(problem.ManySinks, "outputs", "again")
}

func (g *graph) turn(t *rapid.T) {
	e, number := g.edge(t)
	e["from"], e["to"] = e["to"], e["from"]
	g.breaks(problem.WrongDirection, "edges", number, "to")
}

func (g *graph) misspellNode(t *rapid.T) {
	e, number := g.edge(t)
	e["to"] = "not-a-node.x"
	g.breaks(problem.UnknownNode, "edges", number, "to")
}

func (g *graph) misspellPort(t *rapid.T) {
	e, number := g.edge(t)
	e["from"] = nodeOf(e["from"]) + ".not-a-port"
	g.breaks(problem.UnknownPort, "edges", number, "from")
}

func (g *graph) dropPort(t *rapid.T) {
	e, number := g.edge(t)
	e["from"] = nodeOf(e["from"])
	g.breaks(problem.BadEndpoint, "edges", number, "from")
}
