package flow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
)

// end finds the port written as "node.port", or reports why it is not found: at the place at, or
// at the member of it at tail.
func (c *checker) end(written any, side direction, at []string, tail ...string) end {
	text, ok := written.(string)
	if !ok {
		return end{text: "something"} // the schema has reported it
	}
	nodeName, port, _ := strings.Cut(text, ".")
	if nodeName == "" || port == "" || strings.Contains(port, ".") {
		c.badEndpoint(text, side, slices.Concat(at, tail))
		return end{text: document.Quote(text)}
	}
	n := c.nodes[nodeName]
	if n == nil {
		c.unknownNode(nodeName, port, side, slices.Concat(at, tail))
		return end{text: document.Quote(text)}
	}
	e := c.portOf(n, port, side, at, tail...)
	e.text = text
	return e
}

// portOf finds a port of a node, or reports why it is not found. A node whose ports are unknown
// may have the port.
func (c *checker) portOf(
	n *node, port string, side direction, at []string, tail ...string,
) end {
	if n.ports == nil {
		return end{node: n, port: port}
	}
	t, ok := n.ports.sides[side].types[port]
	if !ok {
		c.unknownPort(n, port, side, slices.Concat(at, tail))
		return end{}
	}
	return end{node: n, port: port, typ: t}
}

func (c *checker) badEndpoint(text string, side direction, at []string) {
	hint := "name a node and one of its ports"
	if n := c.nodes[strings.Trim(text, ".")]; n != nil {
		if port := c.meant(n, "", side); port != "" {
			hint = document.DidYouMean(name(n, port))
		}
	}
	c.add(problem.BadEndpoint, at,
		document.Quote(text)+` is not of the form "node.port"`, hint)
}

func (c *checker) unknownNode(nodeName, port string, side direction, at []string) {
	near := c.hints.suggest(nodeName, c.names)
	if n := c.nodes[near]; n != nil {
		c.excused[claim{n, port, side}] = true
	}
	hint := document.DidYouMean(near)
	if own := side.other().String() + "s"; near == "" && nodeName == own {
		hint = fmt.Sprintf("connect the flow's %s in %q, not with an edge", own, own)
	}
	c.add(problem.UnknownNode, at, "node "+document.Quote(nodeName)+" not found", hint)
}

func (c *checker) unknownPort(n *node, port string, side direction, at []string) {
	hint := portList(n, side)
	if near := c.meant(n, port, side); near != "" {
		hint = document.DidYouMean(near)
	}
	_, turned := n.ports.sides[side.other()].types[port]
	switch {
	case turned:
		c.excused[claim{n, port, side.other()}] = true // most likely the ends are swapped
		c.add(problem.WrongDirection, at, fmt.Sprintf("%s is an %s, not an %s",
			name(n, port), side.other(), side), hint)
	case n.constant != nil && side == input:
		c.add(problem.WrongDirection, at, fmt.Sprintf(
			"%s is a const node and has no inputs", n.name), "")
	default:
		c.add(problem.UnknownPort, at, fmt.Sprintf("the node %s has no %s %s",
			n.name, side, document.Quote(port)), hint)
	}
}

// meant guesses which port of the node was meant, and excuses it from being unconnected: the
// problem is reported here.
func (c *checker) meant(n *node, port string, side direction) string {
	if n.ports == nil {
		return ""
	}
	names := n.ports.sides[side].names
	near := c.hints.suggest(port, names)
	if near == "" && len(names) == 1 {
		near = names[0]
	}
	if near != "" {
		c.excused[claim{n, near, side}] = true
	}
	return near
}

// portList is a hint that lists a node's ports, unless there are too many.
func portList(n *node, side direction) string {
	names := n.ports.sides[side].names
	switch {
	case len(names) == 0:
		return fmt.Sprintf("%s has no %ss", n.name, side)
	case len(names) > 12:
		return ""
	}
	quoted := slices.Clone(names)
	for i, s := range names {
		quoted[i] = document.Quote(s)
	}
	return fmt.Sprintf("its %ss are %s", side, strings.Join(quoted, ", "))
}
