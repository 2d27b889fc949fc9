package flow

import (
	"encoding/json"
	"fmt"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/flow/unify"
	"github.com/dagyo/dagyo/pkg/problem"
)

// A Query asks which ports a port may be connected to.
type Query struct {
	// Flow is the flow so far, or nil. Its problems are ignored: an edge that does not fit is ignored when types are
	// solved.
	Flow json.RawMessage `json:"flow,omitempty"`
	// Node is a node of the flow; Progdef is what a new node would run. Exactly one is set.
	Node    string `json:"node,omitempty"`
	Progdef string `json:"progdef,omitempty"`
	Port    string `json:"port"`
	// Side is "input" or "output". It may be empty if the port is only one of them.
	Side string `json:"side,omitempty"`
	// Limit is the maximum number of ports to list; 0 means QueryLimit.
	Limit int `json:"limit,omitempty"`
}

const (
	// QueryLimit is the number of ports in an answer unless the query sets a limit.
	QueryLimit = 1000
	// MaxQueryLimit is the highest limit that a query may set.
	MaxQueryLimit = 10_000
)

// A Compatibility is the answer to a Query.
type Compatibility struct {
	Side string `json:"side"`
	// Type is the port's typename as far as the flow determines it. An open type variable is
	// written as the node's own type parameter, or as "node.T" if it belongs to another node.
	Type string `json:"type"`
	// Ports may be connected to the port: first ports of the flow's nodes, then ports of possible
	// new nodes; each group is ordered by name.
	Ports []Fit `json:"ports"`
	// Omitted counts the ports beyond the limit.
	Omitted int `json:"omitted,omitempty"`
}

// A Fit is a port that another one may be connected to.
type Fit struct {
	// Node is the node of the flow that has the port; otherwise Progdef is what a new node would run.
	Node    string `json:"node,omitempty"`
	Progdef string `json:"progdef,omitempty"`
	Port    string `json:"port"`
	// Declared is the port's typename as declared in its progdef.
	Declared string `json:"declared"`
	// Type is the typename that the edge would have.
	Type string `json:"type"`
}

// Compatible answers a query, or returns the problems of the query, with pointers into it.
func (k Known) Compatible(q Query, limits Limits) (Compatibility, problem.List) {
	m := matcher{checker: newChecker(k, limits)}
	if !m.readFlow(q.Flow) {
		return Compatibility{}, within("/flow", m.report.List())
	}
	m.report = document.Report{}
	m.limit = m.readLimit(q.Limit)
	if !m.readPort(q) {
		return Compatibility{}, m.report.List()
	}
	m.out = Compatibility{
		Side: m.side.String(), Type: m.types.spell(m.term, m.node), Ports: []Fit{},
	}
	m.tryFlow()
	m.tryCatalog()
	return m.out, nil
}

func within(pointer string, problems problem.List) problem.List {
	for i := range problems {
		problems[i].Pointer = pointer + problems[i].Pointer
	}
	return problems
}

// A matcher tries one port with all others.
type matcher struct {
	*checker
	limit int
	node  *node
	side  direction
	port  string
	term  unify.Term
	out   Compatibility
}

// readFlow reads as much as it can of the flow so far. It returns false if nothing can be read.
func (m *matcher) readFlow(raw []byte) bool {
	if len(raw) == 0 {
		raw = []byte("{}")
	}
	doc, ok := document.CheckInto(&m.report, "flow", raw, m.limits.Document).(map[string]any)
	if !ok {
		return false
	}
	m.doc = fieldsOf(doc)
	if !m.countable() {
		return false
	}
	m.graph()
	return m.types.Len() <= maxTypeParts
}

func (m *matcher) readLimit(limit int) int {
	if limit < 0 || limit > MaxQueryLimit {
		m.report.Add(problem.TooMany, fmt.Sprintf("the limit is %d; it must be at least 1 and at most %d",
			limit, MaxQueryLimit), "", "limit")
	}
	if limit == 0 {
		return QueryLimit
	}
	return limit
}

// readPort finds the port that the query is about.
func (m *matcher) readPort(q Query) bool {
	switch {
	case q.Node != "" && q.Progdef != "" || q.Node == "" && q.Progdef == "":
		m.report.Add(problem.SchemaMismatch, `set either "node" or "progdef"`, "")
	case q.Node != "":
		m.findNode(q.Node)
	default:
		m.newNode(q.Progdef)
	}
	if m.node == nil || !m.readSide(q) {
		return false
	}
	m.port = q.Port
	p := m.node.ports.sides[m.side].types[q.Port]
	if p == nil {
		m.report.Add(problem.BadTypename, "the port's typename cannot be read", "", "port")
		return false
	}
	m.term = m.types.of(m.node, p)
	return m.unconnected() && m.report.List() == nil
}

func (m *matcher) findNode(name string) {
	n := m.nodes[name]
	switch {
	case n == nil:
		m.report.Add(problem.UnknownNode, "node "+document.Quote(name)+" not found in the flow",
			document.DidYouMean(m.hints.suggest(name, m.names)), "node")
	case n.ports == nil:
		m.report.Add(problem.UnknownProgdef, "the ports of the node "+document.Quote(name)+
			" are unknown: progdef "+document.Quote(n.progdef)+" not found", "", "node")
	default:
		m.node = n
	}
}

func (m *matcher) newNode(used string) {
	pinned, ok := m.catalog[used]
	if !ok {
		m.report.Add(problem.UnknownProgdef, "progdef "+document.Quote(used)+" not found",
			document.DidYouMean(m.hints.suggest(used, m.catalogNames())), "progdef")
		return
	}
	m.node = &node{progdef: used, ports: portsOf(pinned.Document)}
	m.types.instantiate(m.node)
}

func (m *matcher) readSide(q Query) bool {
	_, in := m.node.ports.sides[input].types[q.Port]
	_, out := m.node.ports.sides[output].types[q.Port]
	switch {
	case q.Side != "" && q.Side != "input" && q.Side != "output":
		m.report.Add(problem.WrongDirection, document.Quote(q.Side)+
			` is not a side of a node: it must be "input" or "output"`, "", "side")
	case q.Side == "" && in && out:
		m.report.Add(problem.WrongDirection, fmt.Sprintf(
			"%s has both an input and an output %s", m.calls(), document.Quote(q.Port)),
			`set "side" to choose one`, "port")
	case q.Side != "output" && in:
		m.side = input
		return true
	case q.Side != "input" && out:
		m.side = output
		return true
	default:
		m.unknownPort(q)
	}
	return false
}

func (m *matcher) unknownPort(q Query) {
	kind := q.Side
	if kind == "" {
		kind = "port"
	}
	var names []string
	for side, s := range m.node.ports.sides {
		if q.Side == "" || q.Side == direction(side).String() {
			names = append(names, s.names...)
		}
	}
	m.report.Add(problem.UnknownPort, fmt.Sprintf("%s has no %s %s", m.calls(), kind,
		document.Quote(q.Port)), document.DidYouMean(m.hints.suggest(q.Port, names)), "port")
}

// calls names the node of the query.
func (m *matcher) calls() string {
	if m.node.name == "" {
		return "the progdef " + m.node.progdef
	}
	return "the node " + m.node.name
}

func (m *matcher) unconnected() bool {
	l := m.claims[claim{m.node, m.port, m.side}]
	if l == nil {
		return true
	}
	code, other := problem.ManySources, l.from
	if m.side == output {
		code, other = problem.ManySinks, l.to
	}
	m.report.Add(code, fmt.Sprintf("%s is already connected to %s", name(m.node, m.port), other.text),
		fmt.Sprintf("to list other ports, remove %s from the flow", problem.Pointer(l.at...)), "port")
	return false
}

// tryFlow tries the free ports of the flow's nodes.
func (m *matcher) tryFlow() {
	closed := m.wouldCycle()
	for _, name := range m.names {
		n := m.nodes[name]
		if n.ports == nil || closed[n] {
			continue
		}
		side := m.side.other()
		for _, port := range n.ports.sides[side].names {
			if m.claims[claim{n, port, side}] == nil {
				m.try(n, port, Fit{Node: name, Port: port})
			}
		}
	}
}

// tryCatalog tries the ports of the progdefs in the catalogue.
func (m *matcher) tryCatalog() {
	for _, used := range sortedKeys(m.catalog) {
		mark := m.types.Mark()
		n := &node{name: used, progdef: used, ports: portsOf(m.catalog[used].Document)}
		m.types.instantiate(n)
		for _, port := range n.ports.sides[m.side.other()].names {
			m.try(n, port, Fit{Progdef: used, Port: port})
		}
		m.types.Undo(mark)
	}
}

// try lists a port if an edge to it would fit.
func (m *matcher) try(n *node, port string, f Fit) {
	p := n.ports.sides[m.side.other()].types[port]
	if p == nil {
		return
	}
	mark := m.types.Mark()
	defer m.types.Undo(mark)
	// Not typing.of, whose types outlive the attempt.
	term := m.types.with(n.ports.params, n.vars, p.typename)
	if m.types.Equate(m.term, term, 0) != nil {
		return
	}
	if len(m.out.Ports) >= m.limit {
		m.out.Omitted++
		return
	}
	f.Declared, f.Type = p.text, m.types.spell(m.term, m.node)
	m.out.Ports = append(m.out.Ports, f)
}

// wouldCycle returns the nodes that an edge to or from the port would close a cycle with.
func (m *matcher) wouldCycle() map[*node]bool {
	next := map[*node][]*node{}
	for _, l := range m.links {
		from, to := l.from.node, l.to.node
		if from == nil || to == nil {
			continue
		}
		if m.side == output {
			from, to = to, from
		}
		next[from] = append(next[from], to)
	}
	closed := map[*node]bool{m.node: true}
	for open := []*node{m.node}; len(open) > 0; {
		n := open[0]
		open = open[1:]
		for _, o := range next[n] {
			if !closed[o] {
				closed[o] = true
				open = append(open, o)
			}
		}
	}
	return closed
}
