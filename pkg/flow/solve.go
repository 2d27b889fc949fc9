package flow

import (
	"fmt"
	"slices"

	"github.com/dagyo/dagyo/pkg/flow/unify"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

const (
	// maxTypeParts bounds the types, and parts of types, that the ports of generic nodes have.
	maxTypeParts = 500_000
	// maxWaste bounds the work on edges that turn out not to fit.
	maxWaste = 5_000_000
	// maxExplanation bounds the work of finding out why a type is what it is.
	maxExplanation = 500_000
)

// typing is what is known of the types of a flow.
type typing struct {
	*unify.Solver
	ground map[string]unify.Term
	// owners tells whose a variable is.
	owners map[unify.Term]owner
	// equations are all that may make types equal, in the order in which they count.
	equations []*link
	// excused variables may be unsolved only because a problem is told elsewhere.
	excused map[unify.Term]bool
	// texts are the solved typenames, by the head of their class.
	texts map[unify.Term]string
	// wasted and explain are the work that went, and may yet go, into what does not fit.
	wasted, explain int
}

// An owner is one type parameter of one node.
type owner struct {
	node  *node
	param int
}

func (o owner) name() string { return o.node.ports.params[o.param] }

func (o owner) String() string { return fmt.Sprintf("`%s` of node %s", o.name(), o.node.name) }

func newTyping() *typing {
	return &typing{
		Solver: unify.New(unify.Size{
			Depth: progdef.TypenameDepth, Length: progdef.TypenameLength,
		}),
		ground: map[string]unify.Term{}, owners: map[unify.Term]owner{},
		excused: map[unify.Term]bool{}, texts: map[unify.Term]string{}, explain: maxExplanation,
	}
}

// solveTypes gives every link its typename. It reports each link that cannot hold with those before
// it, and each type variable that nothing fixes although all its links hold.
func (c *checker) solveTypes() {
	if !c.instantiate() {
		return
	}
	for i := range c.types.equations {
		if !c.equate(i) {
			return
		}
	}
	c.excuseUnlinked()
	c.findUnsolved()
	c.settle()
}

// instantiate gives every generic node its own type variables and every end of a link its type.
func (c *checker) instantiate() bool {
	for _, name := range c.names {
		c.types.instantiate(c.nodes[name])
	}
	c.readTypes()
	for _, l := range c.links {
		for _, e := range []*end{&l.from, &l.to} {
			if e.typ != nil {
				e.term = c.types.of(e.node, e.typ)
			}
		}
		if c.types.Len() > maxTypeParts {
			c.add(problem.TooMany, []string{"nodes"}, fmt.Sprintf("the typenames of the ports that "+
				"use type parameters have more than %d parts in all", maxTypeParts),
				"use fewer generic nodes, or such with simpler typenames")
			return false
		}
	}
	c.types.equations = append(c.types.equations, c.links...)
	return true
}

func (t *typing) instantiate(n *node) {
	if n.ports == nil {
		return
	}
	for i := range n.ports.params {
		v := t.Variable()
		t.owners[v] = owner{n, i}
		n.vars = append(n.vars, v)
	}
}

// of returns the type that a port has in a node.
func (t *typing) of(n *node, p *portType) unify.Term {
	if p.generic() {
		return t.with(n.ports.params, n.vars, p.typename)
	}
	return t.fixed(p)
}

// fixed returns a type without variables; there is one of each.
func (t *typing) fixed(p *portType) unify.Term {
	term, known := t.ground[p.text]
	if !known {
		term = t.with(nil, nil, p.typename)
		t.ground[p.text] = term
	}
	return term
}

// with returns a typename in which vars take the place of params.
func (t *typing) with(params []string, vars []unify.Term, typename progdef.Typename) unify.Term {
	if i := slices.Index(params, typename.Name); i >= 0 {
		return vars[i]
	}
	args := make([]unify.Term, len(typename.Args))
	for i, a := range typename.Args {
		args[i] = t.with(params, vars, a)
	}
	return t.Apply(typename.Name, args...)
}

// equate makes the types of a link's ends equal, or reports why they cannot be. It returns false
// when there were so many that could not that the rest is left.
func (c *checker) equate(i int) bool {
	l, t := c.types.equations[i], c.types
	if !c.comparable(l) {
		return true
	}
	mark, before := t.Mark(), t.Steps()
	conflict := t.Equate(l.from.term, l.to.term, i)
	if conflict == nil {
		t.Keep()
		return true
	}
	clash := c.clashing(conflict)
	t.Undo(mark)
	t.excuse(l.from)
	t.excuse(l.to)
	c.tell(l, conflict, clash)
	if t.wasted += t.Steps() - before; t.wasted > maxWaste {
		c.add(problem.TooMany, l.at, "the types of the edges behind this one were not checked: "+
			"too much was wrong before", "mend the problems listed and check again")
		return false
	}
	return true
}

// comparable reports whether both ends of a link have a type that means something. What a faulty
// link leaves open is no problem of its own.
func (c *checker) comparable(l *link) bool {
	if l.to.node != nil && l.to.port == progdef.StopPort {
		return false // any type may stop a node
	}
	if l.from.free || l.to.free {
		return l.from.typ != nil && l.to.typ != nil
	}
	known := l.from.typ != nil && l.to.typ != nil
	if known && (!l.surplus || !l.from.typ.generic() && !l.to.typ.generic()) {
		return true
	}
	c.types.excuse(l.from)
	c.types.excuse(l.to)
	return false
}

// excuse excuses the variables of a port whose link is faulty.
func (t *typing) excuse(e end) {
	if e.typ != nil {
		t.excusePort(e.node, e.typ)
	}
}

func (t *typing) excusePort(n *node, p *portType) {
	for _, i := range p.params {
		t.excused[n.vars[i]] = true
	}
}

func (c *checker) excuseUnlinked() {
	for _, name := range c.names {
		n := c.nodes[name]
		if len(n.vars) == 0 {
			continue
		}
		for side := range n.ports.sides {
			for port, p := range n.ports.sides[side].types {
				if p != nil && c.claims[claim{n, port, direction(side)}] == nil {
					c.types.excusePort(n, p)
				}
			}
		}
	}
}

// settle gives every link its typename and holds records to it.
func (c *checker) settle() {
	for _, l := range c.links {
		known := l.from
		if known.typ == nil {
			known = l.to
		}
		if known.typ == nil {
			continue
		}
		l.typename = c.types.text(known)
		if l.with != nil {
			c.hold(l.with.Values, l.typename, l.at)
		}
	}
}
