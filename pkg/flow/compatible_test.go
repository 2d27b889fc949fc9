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

// TestCompatibleIsWhatCheckAccepts draws a flow with unconnected ports and queries one of them. It then adds an edge to
// every other port, listed or not, and compares the answer with Check.
func TestCompatibleIsWhatCheckAccepts(t *testing.T) {
	yes, no := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		w := drawWeb(t)
		w.edges = w.edges[:rapid.IntRange(0, len(w.edges)).Draw(t, "kept")]
		asked, ok := w.drawLoose(t)
		if !ok {
			return
		}
		raw := w.json(nil, nil)
		answer, problems := Known{Progdefs: w.known}.Compatible(
			Query{Flow: raw, Node: asked.node, Port: asked.port, Side: asked.side}, DefaultLimits())
		if problems != nil {
			t.Fatal(problems)
		}
		listed := map[loose]bool{}
		for _, f := range answer.Ports {
			listed[loose{f.Node + f.Progdef, f.Port, ""}] = true
		}
		for _, other := range w.candidates() {
			if other.side == asked.side {
				continue
			}
			want := w.accepts(t, asked, other)
			if listed[loose{other.node, other.port, ""}] != want {
				t.Fatalf("%v to %v: listed %v, want %v\n%s", asked, other, !want, want, w)
			}
			if want {
				yes++
			} else {
				no++
			}
		}
	})
	if yes < 20 || no < 20 {
		t.Errorf("%d compatible, %d not: the test is meaningless", yes, no)
	}
}

// A loose port has no edge. Its node may be a new one, which has the name of its progdef.
type loose struct{ node, port, side string }

func (l loose) end() string { return l.node + "." + l.port }

// loose lists the ports of the web's own nodes that have no edge.
func (w *web) loose() []loose {
	taken := map[loose]bool{}
	for _, e := range w.edges {
		if e.from >= 0 {
			taken[loose{w.nodes[e.from].name, e.fromPort, "output"}] = true
		}
		if e.to >= 0 {
			taken[loose{w.nodes[e.to].name, e.toPort, "input"}] = true
		}
	}
	var out []loose
	for _, n := range w.nodes {
		if n.constant != "" {
			out = append(out, loose{n.name, "out", "output"})
			continue
		}
		out = append(out, w.portsOf(n.name, n.progdef)...)
	}
	return slices.DeleteFunc(out, func(l loose) bool { return taken[l] })
}

func (w *web) portsOf(node, used string) (out []loose) {
	doc := w.known[used].Document
	for _, port := range sortedKeys(doc.Inputs) {
		out = append(out, loose{node, port, "input"})
	}
	for _, port := range sortedKeys(doc.Outputs) {
		out = append(out, loose{node, port, "output"})
	}
	return out
}

func (w *web) drawLoose(t *rapid.T) (loose, bool) {
	all := w.loose()
	if len(all) == 0 {
		return loose{}, false
	}
	return rapid.SampledFrom(all).Draw(t, "asked"), true
}

func (w *web) candidates() []loose {
	out := w.loose()
	for _, used := range sortedKeys(w.known) {
		out = append(out, w.portsOf(used, used)...)
	}
	return out
}

// accepts reports whether Check accepts the edge as the last one of the flow. A cycle may be reported at another of its
// edges, and so may a type that only the additional port makes too large.
func (w *web) accepts(t *rapid.T, a, b loose) bool {
	var g graph
	if err := json.Unmarshal(w.json(nil, nil), &g); err != nil {
		t.Fatal(err)
	}
	before := w.refusals(t, g)
	for _, l := range []loose{a, b} {
		if _, own := w.known[l.node]; own {
			g.Nodes[l.node] = map[string]any{"progdef": l.node}
		}
	}
	if a.side == "input" {
		a, b = b, a
	}
	g.addEdge(a.end(), b.end())
	return w.refusals(t, g) == before
}

// refusals counts the rejected edges.
func (w *web) refusals(t *rapid.T, g graph) (n int) {
	_, _, problems := Check(g.json(t), w.known, DefaultLimits())
	for _, p := range problems {
		switch p.Code {
		case problem.Cycle, problem.TypeMismatch, problem.InfiniteType, problem.TooDeep, problem.TooLarge:
			n++
		}
	}
	return n
}

const looseEnds = `{
	"nodes": {
		"a": {"const": {"type": "utf8-string", "values": ["x"]}},
		"t": {"progdef": "tee"},
		"w": {"progdef": "wrap"},
		"n": {"progdef": "count"},
		"v": {"progdef": "void_sink"},
		"z": {"progdef": "nothing"}
	},
	"edges": [
		{"from": "a.out", "to": "t.in"},
		{"from": "t.left", "to": "w.in"},
		{"from": "w.out", "to": "v.items"}
	]
}`

func TestCompatible(t *testing.T) {
	tests := []struct{ name, query, want string }{
		{"a solved output", `{"node":"t","port":"right"}`,
			`output utf8-string: append.item:T attempt.in:T greet.name:utf8-string ignore.in:T ` +
				`join.left:utf8-string join.right:utf8-string merge.a:T merge.b:T parse.text:utf8-string ` +
				`same.in:T split.all:utf8-string tee.in:T twice.in:T wrap.in:X zip.a:A zip.b:B`},
		{"a rejected edge is ignored", `{"node":"n","port":"items"}`,
			`input list<utf8-string>: append.out:list<T> assert.out:T first.out:E merge.out:T ` +
				`parse.errors:list<utf8-string> same.out:T tee.left:T tee.right:T unzip.a:A ` +
				`unzip.b:B wrap.out:list<X>`},
		{"a progdef", `{"progdef":"assert","port":"in"}`,
			`input Result<T>: assert.out:T attempt.out:Result<T> first.out:E merge.out:T same.out:T ` +
				`tee.left:T tee.right:T unzip.a:A unzip.b:B`},
		{"a limit", `{"progdef":"assert","port":"in","limit":2}`,
			`input Result<T>: assert.out:T attempt.out:Result<T> and 7 more`},
		{"connected", `{"node":"t","port":"left"}`,
			`/port: t.left is already connected to w.in [many-sinks] — to list other ports, remove /edges/1 ` +
				`from the flow`},
		{"unknown node", `{"node":"tt","port":"left"}`,
			`/node: node "tt" not found in the flow [unknown-node] — did you mean "t"?`},
		{"unknown progdef", `{"progdef":"tea","port":"left"}`,
			`/progdef: progdef "tea" not found [unknown-progdef] — did you mean "tee"?`},
		{"unknown ports", `{"node":"z","port":"left"}`,
			`/node: the ports of the node "z" are unknown: progdef "nothing" not found ` +
				`[unknown-progdef]`},
		{"unknown port", `{"progdef":"tee","port":"leftt","side":"output"}`,
			`/port: the progdef tee has no output "leftt" [unknown-port] — did you mean "left"?`},
		{"nothing", `{"port":"left"}`,
			`(document): set either "node" or "progdef" [schema]`},
		{"bad side", `{"progdef":"tee","port":"left","side":"up"}`,
			`/side: "up" is not a side of a node: it must be "input" or "output" [wrong-direction]`},
		{"bad limit", `{"progdef":"tee","port":"left","limit":-1}`,
			`/limit: the limit is -1; it must be at least 1 and at most 10000 [too-many]`},
		{"bad flow", `{"node":"tee","port":"left","flow":{"nodes":{},"nodes":{}}}`,
			`/node: node "tee" not found in the flow [unknown-node]`},
		{"no flow", `{"node":"tee","port":"left","flow":5}`,
			`/flow: must be an object, not a number [schema]`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := Query{Flow: []byte(looseEnds)}
			if err := json.Unmarshal([]byte(tt.query), &q); err != nil {
				t.Fatal(err)
			}
			got, problems := Known{Progdefs: catalog(t)}.Compatible(q, DefaultLimits())
			if s := spelled(got) + problems.Error(); !strings.HasSuffix(s, tt.want) {
				t.Errorf("got\n%s\nwant\n%s", s, tt.want)
			}
		})
	}
}

func spelled(c Compatibility) string {
	if c.Side == "" {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s:", c.Side, c.Type)
	for _, f := range c.Ports {
		fmt.Fprintf(&b, " %s%s.%s:%s", f.Node, f.Progdef, f.Port, f.Declared)
	}
	if c.Omitted > 0 {
		fmt.Fprintf(&b, " and %d more", c.Omitted)
	}
	return b.String()
}
