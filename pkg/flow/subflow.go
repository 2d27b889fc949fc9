package flow

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// maxNesting bounds how deep subflows are nested.
const maxNesting = 8

// A subflow is the flow of a progdef, checked against the catalogue as it is now.
type subflow struct {
	// flow is its normal form, with the flows of its own nodes expanded. Its typenames use the progdef's type parameters.
	flow   Flow
	pinned map[string]progdef.Pinned
	size   size
	// typenames are the identifiers of the types in it, with a progdef or node that uses each.
	typenames map[string]string
	// inlets and outlets are the edges at its ends, by port.
	inlets, outlets map[string]Edge
	// problems is why it cannot be used, with pointers into the progdef.
	problems problem.List
}

// A size counts what limits bound in a flow: its nodes, edges and values, and the bytes of these.
type size struct{ nodes, edges, values, bytes int }

func (s *size) add(o size) {
	s.nodes, s.edges, s.values, s.bytes = s.nodes+o.nodes, s.edges+o.edges, s.values+o.values, s.bytes+o.bytes
}

func (s *size) addValues(written []any) {
	s.values += len(written)
	for _, w := range written {
		if object, ok := w.(map[string]any); ok {
			w = object["base64"]
		}
		text, _ := w.(string)
		s.bytes += len(text)
	}
}

func (s *size) exceeds(l Limits) bool {
	return s.nodes > l.Nodes || s.edges > l.Edges || s.values > l.ConstValues || s.bytes > l.Document.Bytes
}

// subflows are those that a check has needed so far. Each is checked once at each level: deeper ones may be too deep.
type subflows struct {
	known  Known
	limits Limits
	done   map[place]*subflow
	// path names the progdefs whose flows are being checked, the outermost first.
	path []string
}

// A place is a progdef with a flow, and the number of those around it.
type place struct {
	progdef string
	level   int
}

// of returns the flow of a progdef, or nil if it is a program.
func (s *subflows) of(name string) *subflow {
	broken := func(code problem.Code, message string) *subflow {
		return &subflow{problems: problem.List{{Code: code, Pointer: "/flow", Message: message}}}
	}
	// First, since the catalogue may still have a program under the name of a flow that is about to be published.
	if i := slices.Index(s.path, name); i >= 0 {
		return broken(problem.Cycle, "a flow cannot contain itself: "+strings.Join(append(s.path[i:len(s.path):len(s.path)], name), " -> "))
	}
	doc := s.known.Progdefs[name].Document
	if doc.Flow == nil {
		return nil
	}
	if len(s.path) >= maxNesting {
		return broken(problem.TooDeep, fmt.Sprintf("flows are nested more than %d levels deep", maxNesting))
	}
	at := place{name, len(s.path)}
	if s.done[at] == nil {
		s.done[at] = s.check(doc)
	}
	return s.done[at]
}

// check checks the flow of a progdef whose ports are declared.
func (s *subflows) check(doc progdef.Document) *subflow {
	c := s.checker(doc)
	c.reserved()
	c.declare(doc)
	if c.countable() {
		c.graph()
		c.shadowed(doc)
	}
	if problems := c.report.List(); problems != nil {
		return &subflow{problems: problems, size: c.size}
	}
	out := &subflow{flow: c.normal(0, 0), pinned: c.programs(), size: c.size, typenames: c.typenames()}
	out.inlets, out.outlets = map[string]Edge{}, map[string]Edge{}
	for _, e := range out.flow.Edges {
		if e.Input != "" {
			out.inlets[e.Input] = e
		}
		if e.Output != "" {
			out.outlets[e.Output] = e
		}
	}
	return out
}

// checker returns a checker of a progdef's flow.
func (s *subflows) checker(doc progdef.Document) *checker {
	c := newChecker(s.known, s.limits)
	c.prefix, c.open = []string{"flow"}, true
	c.subflows = &subflows{s.known, s.limits, s.done, append(s.path[:len(s.path):len(s.path)], doc.Name)}
	var fields map[string]any
	_ = json.Unmarshal(doc.Flow, &fields) // whoever has checked the progdef has reported what is wrong with its form
	c.doc = fieldsOf(fields)
	return c
}

// Subflow checks the flow of a progdef document that is about to be published, and fills in the ports of one that
// declares none. The pointers of problems are into the progdef.
func (k Known) Subflow(doc progdef.Document, limits Limits) (progdef.Document, problem.List) {
	s := &subflows{known: k, limits: limits, done: map[place]*subflow{}}
	if len(doc.Inputs)+len(doc.Outputs)+len(doc.TypeParams) == 0 {
		c := s.checker(doc)
		c.reserved()
		if c.countable() {
			c.graph()
		}
		if problems := c.report.List(); problems != nil {
			return doc, problems
		}
		c.infer(&doc)
		if n := len(doc.TypeParams); n > progdef.MaxTypeParams {
			return doc, problem.List{{
				Code: problem.TooMany, Pointer: "/flow",
				Message: fmt.Sprintf("the flow leaves %d types open; the limit is %d", n, progdef.MaxTypeParams),
				Hint:    `name some of them in the nodes: "types": {"T": "json"}`,
			}}
		}
	}
	return doc, s.check(doc).problems
}

// reserved reports the ends of a flow that have the name of a port that every program has.
func (c *checker) reserved() {
	for field, written := range map[string]map[string]any{"inputs": c.doc.inputs, "outputs": c.doc.outputs} {
		for _, name := range []string{progdef.StopPort, progdef.PanicPort} {
			if _, there := written[name]; there {
				c.add(problem.BadName, c.at(field, name), document.Quote(name)+" is reserved: it is a port of every program",
					"give it another name")
			}
		}
	}
}

// declare gives the flow's ends the types of the progdef's ports. Type parameters are types of which nothing is known.
func (c *checker) declare(doc progdef.Document) {
	c.params = doc.TypeParams
	for side, declared := range [2]map[string]progdef.Port{input: doc.Inputs, output: doc.Outputs} {
		field, written := direction(side).String()+"s", c.doc.inputs
		if direction(side) == output {
			written = c.doc.outputs
		}
		c.ends[side] = parsed(declared, nil)
		for _, name := range sortedKeys(declared) {
			if _, there := written[name]; !there {
				c.report.Add(problem.UnknownPort, fmt.Sprintf("the flow has no %s %s", direction(side), document.Quote(name)),
					"add it to the flow, or remove it here", field, name)
			}
		}
		for _, name := range sortedKeys(written) {
			if _, there := declared[name]; !there {
				c.add(problem.UnknownPort, c.at(field, name), fmt.Sprintf("the %s %s is not declared in the progdef's %q",
					direction(side), document.Quote(name), field),
					`declare all ports of the flow, or neither "inputs" nor "outputs": they are inferred then`)
			}
		}
	}
}

// shadowed reports the type parameters of a progdef that are also the name of a type in its flow.
func (c *checker) shadowed(doc progdef.Document) {
	if len(doc.TypeParams) == 0 {
		return
	}
	used := c.typenames()
	for i, param := range doc.TypeParams {
		if by := used[param]; by != "" {
			c.report.Add(problem.BadTypeParam, fmt.Sprintf("%s is also the name of a type, which %s uses",
				document.Quote(param), by), "give the type parameter another name", "typeParams", fmt.Sprint(i))
		}
	}
}

// typenames returns the identifiers of all types in the flow other than its type parameters, with a progdef or node that
// uses each.
func (c *checker) typenames() map[string]string {
	out := map[string]string{}
	var add func(t progdef.Typename, params []string, by string)
	add = func(t progdef.Typename, params []string, by string) {
		if !slices.Contains(params, t.Name) {
			out[t.Name] = by
		}
		for _, a := range t.Args {
			add(a, params, by)
		}
	}
	for _, name := range sortedKeys(c.ports) {
		p := c.ports[name]
		for _, side := range p.sides {
			for _, t := range side.types {
				if t != nil {
					add(t.typename, p.params, "the progdef "+name)
				}
			}
		}
	}
	for _, name := range c.names {
		n := c.nodes[name]
		if n.sub != nil {
			maps.Copy(out, n.sub.typenames)
		}
		for _, written := range n.types {
			text, _ := written.(string)
			if t, err := progdef.ParseTypename(text); err == nil {
				add(t, c.params, "the node "+name)
			}
		}
		if n.constant != nil {
			if t := n.ports.sides[output].types[constPort]; t != nil {
				add(t.typename, c.params, "the node "+name)
			}
		}
	}
	return out
}

// infer declares the ports of a progdef by the types of its flow's ends. A type that the flow leaves open becomes a type
// parameter.
func (c *checker) infer(doc *progdef.Document) {
	params := namer{used: c.typenames(), names: map[any]string{}}
	doc.Inputs, doc.Outputs = map[string]progdef.Port{}, map[string]progdef.Port{}
	for _, l := range c.links {
		switch {
		case l.from.outer():
			doc.Inputs[l.from.port] = progdef.Port{Type: c.typeOf(l, l.to, &params)}
		case l.to.outer():
			doc.Outputs[l.to.port] = progdef.Port{Type: c.typeOf(l, l.from, &params)}
		}
	}
	doc.TypeParams = params.list
}

// typeOf writes the type of a link at one of the flow's own ends, given its other end.
func (c *checker) typeOf(l *link, inner end, params *namer) string {
	if inner.typ == nil { // any type may stop a node
		return params.name(l)
	}
	return c.types.write(inner.term, params)
}

// A namer names type parameters T, U, V, W, T1, U1, …, without those that are used for types.
type namer struct {
	used  map[string]string
	names map[any]string
	list  []string
	tried int
}

func (n *namer) name(of any) string {
	if name := n.names[of]; name != "" {
		return name
	}
	const letters = "TUVW"
	name := ""
	for name == "" || n.used[name] != "" {
		name = letters[n.tried%len(letters) : n.tried%len(letters)+1]
		if round := n.tried / len(letters); round > 0 {
			name += fmt.Sprint(round)
		}
		n.tried++
	}
	n.names[of] = name
	n.list = append(n.list, name)
	return name
}

// join returns the name of a node in a subflow. A name that would be too long ends in a digest of it.
func join(outer, inner string) string {
	name := outer + "--" + inner
	if len(name) <= document.MaxName { // the parts may be malformed, which is reported elsewhere
		return name
	}
	sum := sha256.Sum256([]byte(name))
	digest := "-" + hex.EncodeToString(sum[:8])
	return strings.TrimRight(name[:document.MaxName-len(digest)], "-_") + digest
}

// joinPort is join for "node.port".
func joinPort(outer, inner string) string {
	node, port, _ := strings.Cut(inner, ".")
	return join(outer, node) + "." + port
}

func joinPorts(outer string, inner map[string]string) map[string]string {
	out := make(map[string]string, len(inner))
	for port, end := range inner {
		out[port] = joinPort(outer, end)
	}
	return out
}

// nameParts reports the nodes of subflows that would have the name of another node.
func (c *checker) nameParts() {
	taken := map[string]string{}
	for _, name := range c.names {
		taken[name] = ""
	}
	for _, name := range c.names {
		sub := c.nodes[name].sub
		if sub == nil {
			continue
		}
		for _, part := range sub.parts() {
			full := join(name, part)
			other, clash := taken[full]
			taken[full] = name
			if !clash {
				continue
			}
			where := "the node of this name"
			if other != "" {
				where = "one of the node " + other
			}
			c.add(problem.BadName, c.at("nodes", name), fmt.Sprintf(
				"its flow has a node %s, which would be named %s, as %s", part, full, where), "rename one of the nodes")
			break
		}
	}
}

// parts returns the names of all nodes in a subflow, in order.
func (s *subflow) parts() []string {
	var out []string
	for name := range s.flow.Nodes {
		out = append(out, name)
	}
	for name := range s.flow.Subflows {
		out = append(out, name)
	}
	for _, e := range s.flow.Edges {
		if e.Const != nil && e.Const.Node != "" {
			out = append(out, e.Const.Node)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// unusable reports why the flow of a node's progdef cannot be used.
func (c *checker) unusable(n *node, problems problem.List) {
	const most = 3
	for i, p := range problems {
		message := fmt.Sprintf("progdef %s cannot be used now: at %s: %s", n.progdef, p.Pointer, p.Message)
		if i == most-1 && len(problems) > most {
			message += fmt.Sprintf(" (and %d more problems)", len(problems)-most)
		}
		if i < most {
			c.add(p.Code, c.at("nodes", n.name, "progdef"), message, p.Hint)
		}
	}
}

// expand adds the nodes and inner edges of a node's flow to the normal form. A constant of generic type is checked now
// that its type is known.
func (c *checker) expand(out *Flow, n *node) {
	if out.Subflows == nil {
		out.Subflows = map[string]Subflow{}
	}
	self := Subflow{Node: Node{Progdef: n.progdef, Revision: c.pinned[n.progdef].Revision}}
	self.Types, self.Inputs, self.Outputs = map[string]string{}, map[string]string{}, map[string]string{}
	for i, param := range n.ports.params {
		self.Types[param] = c.types.spell(n.vars[i], n)
	}
	for port, e := range n.sub.inlets {
		self.Inputs[port] = joinPort(n.name, e.To)
	}
	for port, e := range n.sub.outlets {
		self.Outputs[port] = joinPort(n.name, e.Source())
	}
	out.Subflows[n.name] = self
	for name, inner := range n.sub.flow.Nodes {
		out.Nodes[join(n.name, name)] = inner.in(n.name)
	}
	for name, inner := range n.sub.flow.Subflows {
		inner.Node = inner.in(n.name)
		inner.Inputs, inner.Outputs = joinPorts(n.name, inner.Inputs), joinPorts(n.name, inner.Outputs)
		types := make(map[string]string, len(inner.Types))
		for param, typename := range inner.Types {
			types[param] = c.typeIn(n, typename)
		}
		inner.Types = types
		out.Subflows[join(n.name, name)] = inner
	}
	for _, e := range n.sub.flow.Edges {
		if e.Input != "" || e.Output != "" {
			continue // an edge of the document takes its place
		}
		if e.From != "" {
			e.From = joinPort(n.name, e.From)
		}
		e.To, e.Const, e.Type = joinPort(n.name, e.To), e.Const.in(n.name), c.typeIn(n, e.Type)
		out.Edges = append(out.Edges, e)
	}
}

// in returns a node of a subflow as one of the flow around it.
func (n Node) in(outer string) Node {
	if n.Subflow == "" {
		n.Subflow = outer
	} else {
		n.Subflow = join(outer, n.Subflow)
	}
	return n
}

// typeIn returns a typename of a node's flow, with the types that the node's type parameters stand for.
func (c *checker) typeIn(n *node, typename string) string {
	if len(n.vars) == 0 {
		return typename
	}
	t, err := progdef.ParseTypename(typename)
	if err != nil {
		return typename
	}
	return c.types.spell(c.types.with(n.ports.params, n.vars, t), n)
}

// in returns a constant of a subflow as one of the flow around it.
func (k *Const) in(outer string) *Const {
	if k == nil || k.Node == "" {
		return k
	}
	return &Const{Node: join(outer, k.Node), Values: k.Values}
}

// holdExpanded checks the records in subflows whose types depend on the flow around them.
func (c *checker) holdExpanded() {
	for _, name := range c.names {
		n := c.nodes[name]
		if n.sub == nil || len(n.vars) == 0 {
			continue
		}
		for _, e := range n.sub.flow.Edges {
			typename := c.typeIn(n, e.Type)
			if e.Const == nil || typename == e.Type {
				continue
			}
			for i, v := range e.Const.Values {
				if message := promise(v, typename); message != "" {
					c.add(problem.BadValue, c.at("nodes", name), fmt.Sprintf("value %d for %s in the flow of progdef %s: %s",
						i, e.Sink(), n.progdef, message), "")
				}
			}
		}
	}
}
