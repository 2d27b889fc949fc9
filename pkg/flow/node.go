package flow

import (
	"fmt"
	"slices"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/flow/unify"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// constPort is the one port of a const node, an output.
const constPort = "out"

// A direction is a side of a node.
type direction int

const (
	input direction = iota
	output
)

func (d direction) String() string { return [...]string{"input", "output"}[d] }

func (d direction) other() direction { return 1 - d }

// ports are the two sides of a node. Nodes of one progdef share them.
type ports struct {
	sides [2]side
	// params are the type parameters of a generic progdef.
	params []string
}

// A side is all ports of one direction. The type of a port is nil if its typename is unknown.
type side struct {
	types map[string]*portType
	names []string // in order
}

func newSide(types map[string]*portType) side {
	return side{types: types, names: sortedKeys(types)}
}

// A portType is the declared typename of a port.
type portType struct {
	typename progdef.Typename
	text     string
	// params are the indexes of the progdef's type parameters that the typename uses.
	params []int
}

func (t *portType) generic() bool { return len(t.params) > 0 }

func newPortType(t progdef.Typename, params []string) *portType {
	out := &portType{typename: t, text: t.String()}
	for i, p := range params {
		if mentions(t, p) {
			out.params = append(out.params, i)
		}
	}
	return out
}

func mentions(t progdef.Typename, name string) bool {
	return t.Name == name ||
		slices.ContainsFunc(t.Args, func(a progdef.Typename) bool { return mentions(a, name) })
}

// A node is a node of the document, as far as it can be understood.
type node struct {
	name    string
	progdef string
	// constant holds the records of a const node; it is nil for other nodes.
	constant *Const
	with     map[string]any
	// types are the type parameters set in the document.
	types map[string]any
	// sub is the flow that takes the node's place; nil for others.
	sub *subflow
	// unusable is true if a flow should take its place, but has problems.
	unusable bool
	// ports is nil if they are unknown; nothing is reported about them then.
	ports *ports
	// vars are the types of the progdef's type parameters in this node.
	vars []unify.Term
	// out are the links that leave the node, for the cycle search.
	out   []*link
	fed   bool
	state visit
}

func (c *checker) readNodes() {
	c.names = sortedKeys(c.doc.nodes)
	for _, name := range c.names {
		c.nodes[name] = c.readNode(name, c.doc.nodes[name])
	}
}

func (c *checker) readNode(name string, written any) *node {
	n := &node{name: name}
	if name == "inputs" || name == "outputs" {
		c.add(problem.BadName, c.at("nodes", name),
			document.Quote(name)+" is reserved for the flow's own ends; rename the node", "")
	}
	object, _ := written.(map[string]any)
	constant, isConst := object["const"]
	used, isUse := object["progdef"]
	switch {
	case isConst && !isUse:
		c.readConst(n, constant)
	case isUse && !isConst:
		n.progdef, _ = used.(string)
		n.with, _ = object["with"].(map[string]any)
		n.types, _ = object["types"].(map[string]any)
		if _, ok := used.(string); ok {
			n.ports = c.progdefPorts(n)
			c.admit(n)
		}
	}
	return n
}

func (c *checker) readConst(n *node, written any) {
	object, _ := written.(map[string]any)
	values, _ := object["values"].([]any)
	at := c.at("nodes", n.name, "const")
	typename := c.constType(object["type"], append(at, "type"))
	at = append(at, "values")
	n.constant = &Const{Node: n.name, Values: c.readValues(values, at)}
	if typename != nil {
		c.hold(n.constant.Values, typename.text, at)
	}
	n.ports = &ports{sides: [2]side{
		output: newSide(map[string]*portType{constPort: typename}),
	}}
}

// constType reads the typename of a const node; it is nil if there is none.
func (c *checker) constType(written any, at []string) *portType {
	text, ok := written.(string)
	if !ok {
		return nil
	}
	t, err := progdef.ParseTypename(text)
	if err != nil {
		c.add(problem.BadTypename, at,
			document.Quote(text)+" is not a typename: "+err.Error(), "")
		return nil
	}
	return newPortType(t, nil)
}

// progdefPorts looks up and pins the node's progdef. It returns nil if the progdef is not found.
func (c *checker) progdefPorts(n *node) *ports {
	n.sub = c.subflows.of(n.progdef)
	if n.sub != nil && n.sub.problems != nil {
		c.refuse(n, n.sub.problems)
		n.sub, n.unusable = nil, true
		return nil
	}
	if known, ok := c.ports[n.progdef]; ok && known != nil {
		return known
	}
	pinned, ok := c.catalog[n.progdef]
	if !ok {
		c.unknownProgdef(n)
		return nil
	}
	p := portsOf(pinned.Document)
	if n.sub == nil {
		// Not in names: a flow need not connect these two. Any type may stop a node.
		p.sides[input].types[progdef.StopPort] = nil
		p.sides[output].types[progdef.PanicPort] = newPortType(progdef.Typename{Name: progdef.PanicType}, nil)
	}
	c.ports[n.progdef], c.pinned[n.progdef] = p, pinned
	return p
}

// admit reports why the policy refuses the node's progdef, which may have been published under another policy.
func (c *checker) admit(n *node) {
	pinned, known := c.pinned[n.progdef]
	if !known || c.refuses == nil {
		return
	}
	problems, checked := c.refusals[n.progdef]
	if !checked {
		problems = c.refuses(pinned.Document)
		c.refusals[n.progdef] = problems
	}
	c.refuse(n, problems)
}

// refuse reports why a node's progdef cannot be used, with the places in the progdef.
func (c *checker) refuse(n *node, problems problem.List) {
	at := c.at("nodes", n.name, "progdef")
	for _, p := range problems {
		message := "" // further ones are only counted
		if !c.report.Full() {
			message = fmt.Sprintf("progdef %s cannot be used now: at %s: %s", n.progdef, p.Pointer, p.Message)
		}
		c.add(p.Code, at, message, p.Hint)
	}
}

func (c *checker) unknownProgdef(n *node) {
	near := c.hints.suggest(n.progdef, c.catalogNames())
	c.add(problem.UnknownProgdef, c.at("nodes", n.name, "progdef"),
		"progdef "+document.Quote(n.progdef)+" not found", document.DidYouMean(near))
}

// catalogNames sorts the names only when a misspelled name needs them.
func (c *checker) catalogNames() []string {
	if c.hints.left <= len(c.catalog) {
		c.hints.left = 0
		return nil
	}
	return sortedKeys(c.catalog)
}

func portsOf(doc progdef.Document) *ports {
	return &ports{params: doc.TypeParams, sides: [2]side{
		input:  newSide(parsed(doc.Inputs, doc.TypeParams)),
		output: newSide(parsed(doc.Outputs, doc.TypeParams)),
	}}
}

func parsed(written map[string]progdef.Port, params []string) map[string]*portType {
	out := make(map[string]*portType, len(written))
	for name, p := range written {
		// A catalogue holds checked documents. A typename that cannot be parsed matches only itself.
		t, err := progdef.ParseTypename(p.Type)
		if err != nil {
			t = progdef.Typename{Name: p.Type}
		}
		out[name] = newPortType(t, params)
	}
	return out
}
