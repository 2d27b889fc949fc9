package flow

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

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
