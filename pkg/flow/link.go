package flow

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/flow/unify"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// A link is one stream of the document, in any of its notations.
type link struct {
	at       []string // its place in the document
	from, to end
	with     *Const // the records of a "with", which have no node
	// surplus links have a port that already has a link.
	surplus bool
	// typename is the solved type of the link.
	typename string
}

// An end is one end of a link.
type end struct {
	// node is nil if the end is not a port that exists or may exist.
	node *node
	port string
	// text is the end as written in the document, or a description of it.
	text string
	// free ends take any type: they are inputs or outputs of the flow, or records.
	free bool
	// typ is nil if the port's typename is unknown.
	typ *portType
	// term is the port's type in this node.
	term unify.Term
}

// outer reports whether the end is one of the flow's own.
func (e end) outer() bool { return e.free && e.node == nil && e.port != "" }

// A claim identifies a port that may have one link.
type claim struct {
	node *node
	port string
	side direction
}

func (c *checker) readEdges() {
	for i, written := range c.doc.edges {
		at := c.at("edges", strconv.Itoa(i))
		edge, ok := written.(map[string]any)
		if !ok {
			continue
		}
		l := &link{at: at}
		l.from = c.end(edge["from"], output, at, "from")
		l.to = c.end(edge["to"], input, at, "to")
		if c.repeated(l) {
			continue
		}
		c.claim(l, l.from, output, "from")
		c.claim(l, l.to, input, "to")
		c.join(l)
	}
}

func (c *checker) readWith() {
	for _, name := range c.names {
		n := c.nodes[name]
		if len(n.with) == 0 {
			continue
		}
		for _, port := range sortedKeys(n.with) {
			c.readWithPort(n, port, c.at("nodes", name, "with", port))
		}
	}
}

func (c *checker) readWithPort(n *node, port string, at []string) {
	to := c.portOf(n, port, input, at)
	to.text = name(n, port)
	written, _ := n.with[port].([]any)
	l := &link{at: at, to: to, with: &Const{Values: c.readValues(written, at)}}
	l.from = end{free: true, text: `the values of "with"`}
	c.claim(l, to, input)
	c.join(l)
}

// readEnds reads the flow's own inputs and outputs.
func (c *checker) readEnds() {
	for _, name := range sortedKeys(c.doc.inputs) {
		at := c.at("inputs", name)
		l := &link{at: at, to: c.end(c.doc.inputs[name], input, at)}
		l.from = end{free: true, port: name, text: "the flow's input " + document.Quote(name), typ: c.ends[input][name]}
		c.claim(l, l.to, input)
		c.join(l)
	}
	for _, name := range sortedKeys(c.doc.outputs) {
		at := c.at("outputs", name)
		l := &link{at: at, from: c.end(c.doc.outputs[name], output, at)}
		l.to = end{free: true, port: name, text: "the flow's output " + document.Quote(name), typ: c.ends[output][name]}
		c.claim(l, l.from, output)
		c.join(l)
	}
}

// join adds a link to the graph. A link to a stop port makes no cycle: a node may be stopped from downstream. Nothing is
// known of the ways through a flow that cannot be used.
func (c *checker) join(l *link) {
	c.links = append(c.links, l)
	if l.from.node != nil && l.to.node != nil && l.to.port != progdef.StopPort {
		if !l.from.node.unusable {
			l.from.node.out = append(l.from.node.out, l)
		}
		l.to.node.fed = true
	}
}

// repeated reports an edge that the document contains twice, as one problem instead of two.
func (c *checker) repeated(l *link) bool {
	if l.from.node == nil || l.to.node == nil {
		return false
	}
	first := c.claims[claim{l.to.node, l.to.port, input}]
	if first == nil || first.from.node != l.from.node || first.from.port != l.from.port {
		return false
	}
	c.add(problem.ManySources, l.at, fmt.Sprintf("the edge from %s to %s repeats %s",
		l.from.text, l.to.text, problem.Pointer(first.at...)), "remove one of them")
	return true
}

// claim records the link of a port. If the port already has one, claim reports a problem at the
// member of the link at tail.
func (c *checker) claim(l *link, e end, side direction, tail ...string) {
	if e.node == nil {
		return
	}
	key := claim{e.node, e.port, side}
	first := c.claims[key]
	if first == nil {
		c.claims[key] = l
		return
	}
	l.surplus = true
	at, where := slices.Concat(l.at, tail), problem.Pointer(first.at...)
	if side == input {
		c.add(problem.ManySources, at, fmt.Sprintf("%s is already connected to %s (%s)",
			e.text, first.from.text, where), "an input reads one stream: put a `merge` or a `concat` "+
			"in between to join several")
		return
	}
	c.add(problem.ManySinks, at, fmt.Sprintf("%s is already connected to %s (%s)",
		e.text, first.to.text, where), "an output feeds one input: put a `tee` in between to copy it")
}

// findMissing reports every port without a link.
func (c *checker) findMissing() {
	for _, name := range c.names {
		n := c.nodes[name]
		// A port of a node whose name cannot be written as "node.port" cannot have a link.
		if n.ports == nil || !document.ValidName(name) {
			continue
		}
		c.missing(n, input, problem.NoSource,
			`add an edge to it, give its records in "with", or make it an input of the flow`)
		c.missing(n, output, problem.NoSink,
			"add an edge from it, make it an output of the flow, or discard its records with a `void_sink`")
	}
}

func (c *checker) missing(n *node, side direction, code problem.Code, hint string) {
	for _, port := range n.ports.sides[side].names {
		key := claim{n, port, side}
		if c.claims[key] == nil && !c.excused[key] {
			c.add(code, c.at("nodes", n.name),
				fmt.Sprintf("the %s %s is not connected", side, name(n, port)), hint)
		}
	}
}

// stopType is the typename of a stream that stops a node and has no port at its other end.
const stopType = "utf8-string"

// edge returns the link in normal form.
func (l *link) edge() Edge {
	e := Edge{Type: l.typename}
	if e.Type == "" { // records that only a stop reads
		e.Type = stopType
	}
	switch from := l.from.node; {
	case l.with != nil:
		e.Const = l.with
	case from == nil:
		e.Input = l.from.port
	case from.constant != nil:
		e.Const = from.constant
	case from.sub != nil && from.sub.outlets[l.from.port].Const != nil:
		e.Const = from.sub.outlets[l.from.port].Const.in(from.name)
	case from.sub != nil:
		e.From = joinPort(from.name, from.sub.outlets[l.from.port].From)
	default:
		e.From = l.from.text
	}
	switch to := l.to.node; {
	case to == nil:
		e.Output = l.to.port
	case to.sub != nil:
		e.To = joinPort(to.name, to.sub.inlets[l.to.port].To)
	default:
		e.To = l.to.text
	}
	return e
}

func (l *link) String() string {
	if l.from.free {
		return l.from.text
	}
	return l.from.text + " -> " + l.to.text
}

func name(n *node, port string) string { return n.name + "." + port }
