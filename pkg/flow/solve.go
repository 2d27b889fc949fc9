package flow

import (
	"fmt"
	"slices"

	"github.com/dagyo/dagyo/pkg/flow/unify"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

const (
	// maxTypeParts bounds the types, and parts of types, of the ports of generic nodes.
	maxTypeParts = 500_000
	// maxWaste bounds the work on edges that do not fit.
	maxWaste = 5_000_000
	// maxExplanation bounds the work of explaining types.
	maxExplanation = 500_000
)

// typing is the state of the type solver for a flow.
type typing struct {
	*unify.Solver
	ground map[string]unify.Term
	// owners maps a variable to its owner.
	owners map[unify.Term]owner
	// equations are all links that may make types equal, in order of precedence.
	equations []*link
	// excused variables may be unsolved only because of a problem that is reported elsewhere.
	excused map[unify.Term]bool
	// texts are the solved typenames, by the head of their class.
	texts map[unify.Term]string
	// wasted is the work spent on edges that do not fit; explain is the work left for explanations.
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

// solveTypes solves the typename of every link. It reports each link that contradicts those before
// it, and each type variable that nothing determines although all its links fit.
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
	c.excuseOpen()
	c.findUnsolved()
	c.settle()
	c.holdExpanded()
}

// instantiate gives every generic node its own type variables, and every end of a link its type.
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
			c.add(problem.TooMany, c.at("nodes"), fmt.Sprintf("the typenames of the ports with "+
				"type parameters have more than %d parts in total", maxTypeParts),
				"use fewer generic nodes, or simpler typenames")
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

// of returns the type of a port in a node.
func (t *typing) of(n *node, p *portType) unify.Term {
	if p.generic() {
		return t.with(n.ports.params, n.vars, p.typename)
	}
	return t.fixed(p)
}

// fixed returns a type without variables. Equal types share one term.
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
// after so many conflicts that the remaining links are not checked.
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
		c.add(problem.TooMany, l.at, "the types of the edges after this one were not checked: "+
			"too many edges do not fit", "fix the listed problems and check again")
		return false
	}
	return true
}

// comparable reports whether both ends of a link have a meaningful type. A consequence of a faulty
// link is not a problem of its own.
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

// excuseOpen excuses the types of the ends of a flow whose ports are to be inferred: they become type parameters.
func (c *checker) excuseOpen() {
	if !c.open {
		return
	}
	for _, l := range c.links {
		if l.from.outer() && l.from.typ == nil {
			c.types.excuse(l.to)
		}
		if l.to.outer() && l.to.typ == nil {
			c.types.excuse(l.from)
		}
	}
}

// settle sets the typename of every link and checks records against it.
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
