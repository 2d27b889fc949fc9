package flow

import (
	"github.com/dagyo/dagyo/pkg/document"
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
type ports [2]side

// A side is all ports of one direction. An empty typename is one that cannot be known.
type side struct {
	types map[string]progdef.Typename
	names []string // in order
}

func newSide(types map[string]progdef.Typename) side {
	return side{types: types, names: sortedKeys(types)}
}

// A node is a node of the document as far as it can be understood.
type node struct {
	name    string
	progdef string
	// constant holds the records of a const node; nil for a use of a progdef.
	constant *Const
	with     map[string]any
	// ports is nil where they cannot be known; nothing is said about them then.
	ports *ports
	// out are the links that leave the node, for the search for cycles.
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
		c.add(problem.BadName, []string{"nodes", name},
			document.Quote(name)+" is what the flow's own ends are called; no node may be", "")
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
		if _, ok := used.(string); ok {
			n.ports = c.progdefPorts(n)
		}
	}
	return n
}

func (c *checker) readConst(n *node, written any) {
	object, _ := written.(map[string]any)
	values, _ := object["values"].([]any)
	at := []string{"nodes", n.name, "const"}
	typename := c.constType(object["type"], append(at, "type"))
	n.constant = &Const{
		Node: n.name, Values: c.readValues(values, typename, append(at, "values")),
	}
	n.ports = &ports{output: newSide(map[string]progdef.Typename{constPort: typename})}
}

// constType reads the typename of a const node, the empty one where there is none to read.
func (c *checker) constType(written any, at []string) progdef.Typename {
	text, ok := written.(string)
	if !ok {
		return progdef.Typename{}
	}
	t, err := progdef.ParseTypename(text)
	if err != nil {
		c.add(problem.BadTypename, at,
			document.Quote(text)+" is not a typename: "+err.Error(), "")
		return progdef.Typename{}
	}
	return t
}

// progdefPorts looks up what the node uses and pins it; nil when there is no such progdef.
func (c *checker) progdefPorts(n *node) *ports {
	if known, ok := c.ports[n.progdef]; ok && known != nil {
		return known
	}
	pinned, ok := c.catalog[n.progdef]
	if !ok {
		c.unknownProgdef(n)
		return nil
	}
	p := &ports{
		input:  newSide(parsed(pinned.Document.Inputs)),
		output: newSide(parsed(pinned.Document.Outputs)),
	}
	// Not among the names: a flow need not wire these two.
	p[input].types[progdef.StopPort] = progdef.Typename{}
	p[output].types[progdef.PanicPort] = progdef.Typename{Name: progdef.PanicType}
	c.ports[n.progdef], c.pinned[n.progdef] = p, pinned
	return p
}

func (c *checker) unknownProgdef(n *node) {
	near := c.hints.suggest(n.progdef, c.catalogNames())
	c.add(problem.UnknownProgdef, []string{"nodes", n.name, "progdef"},
		"there is no progdef "+document.Quote(n.progdef), document.DidYouMean(near))
}

// catalogNames is sorted only for those who misspell.
func (c *checker) catalogNames() []string {
	if c.hints.left <= len(c.catalog) {
		c.hints.left = 0
		return nil
	}
	return sortedKeys(c.catalog)
}

func parsed(written map[string]progdef.Port) map[string]progdef.Typename {
	out := make(map[string]progdef.Typename, len(written))
	for name, p := range written {
		// A catalogue holds checked documents; anything else matches nothing but itself.
		t, err := progdef.ParseTypename(p.Type)
		if err != nil {
			t = progdef.Typename{Name: p.Type}
		}
		out[name] = t
	}
	return out
}
