package flow

import (
	"fmt"
	"slices"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// readTypes reads the type parameters that nodes set.
func (c *checker) readTypes() {
	for _, name := range c.names {
		n := c.nodes[name]
		for _, param := range sortedKeys(n.types) {
			c.readType(n, param, n.types[param], c.at("nodes", name, "types", param))
		}
	}
}

func (c *checker) readType(n *node, param string, written any, at []string) {
	typ := c.constType(written, at)
	if n.ports == nil {
		return
	}
	i := slices.Index(n.ports.params, param)
	if i < 0 {
		c.unknownParam(n, param, at)
		return
	}
	if typ == nil {
		c.types.excused[n.vars[i]] = true
		return
	}
	from := end{node: n, free: true, text: `"types" of node ` + n.name, typ: typ}
	from.term = c.types.fixed(typ)
	to := end{node: n, typ: newPortType(progdef.Typename{Name: param}, n.ports.params)}
	to.term = n.vars[i]
	c.types.equations = append(c.types.equations, &link{at: at, from: from, to: to})
}

// unknownParam excuses all type parameters of the node: one of them was probably meant.
func (c *checker) unknownParam(n *node, param string, at []string) {
	for _, v := range n.vars {
		c.types.excused[v] = true
	}
	hint := document.DidYouMean(c.hints.suggest(param, n.ports.params))
	if hint == "" && len(n.ports.params) == 0 {
		hint = n.progdef + " is not generic"
	}
	c.add(problem.UnknownTypeParam, at, fmt.Sprintf("the progdef %s has no type parameter %s",
		n.progdef, document.Quote(param)), hint)
}
