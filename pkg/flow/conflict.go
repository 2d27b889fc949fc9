package flow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/flow/unify"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// A clash is what two types differ in, in words: the whole of the two types, or a part of each.
type clash struct{ left, right string }

// clashing spells what a link's types differ in, as long as the link counts.
func (c *checker) clashing(u *unify.Conflict) clash {
	if u.Kind != unify.Clash {
		return clash{}
	}
	nobody := &node{}
	return clash{c.types.spell(u.Left, nobody), c.types.spell(u.Right, nobody)}
}

// tell reports a link whose ends cannot have one type. The link counts no longer.
func (c *checker) tell(l *link, u *unify.Conflict, differ clash) {
	if c.report.Full() {
		c.add(problem.TypeMismatch, l.at, "", "") // is only counted
		return
	}
	ends := fmt.Sprintf("%s writes %s, but %s reads %s",
		l.from.text, c.types.spell(l.from.term, l.from.node),
		l.to.text, c.types.spell(l.to.term, l.to.node))
	if l.from.free {
		ends = fmt.Sprintf("%s is named %s", owner{l.to.node, l.to.typ.params[0]}, l.from.typ.text)
	}
	switch u.Kind {
	case unify.Clash:
		c.add(problem.TypeMismatch, l.at, ends+c.because(l.from, u.Path, differ)+
			c.because(l.to, u.Path, differ)+c.meaning(u), c.between(l))
	case unify.Infinite:
		c.add(problem.InfiniteType, l.at, ends+": the type would have to contain itself"+
			c.sameness(l), "")
	case unify.TooDeep:
		c.add(problem.TooDeep, l.at, fmt.Sprintf("%s, and then %s would have more than %d levels",
			ends, c.types.grown(u.Grown), progdef.TypenameDepth), "")
	case unify.TooLong:
		c.add(problem.TooLarge, l.at, fmt.Sprintf("%s, and then %s would have more than %d bytes",
			ends, c.types.grown(u.Grown), progdef.TypenameLength), "")
	}
}

// between is a hint for an edge that needs a standard progdef in between: a Result<T> that meets its T.
func (c *checker) between(l *link) string {
	_, from, args, solved := c.types.Shape(l.from.term)
	if !solved || from != resultType || len(args) != 1 {
		return ""
	}
	nobody := &node{}
	if c.types.spell(args[0], nobody) != c.types.spell(l.to.term, nobody) {
		return ""
	}
	return "put an `assert` in between to read the values, which panics at the first error, " +
		"or an `ignore_errors`, which drops errors"
}

// resultType is the identifier of the typename Result<T>.
const resultType = "Result"

// meaning says in a few words what the two types are that differ, as far as that is known.
func (c *checker) meaning(u *unify.Conflict) string {
	var out []string
	for _, t := range []unify.Term{u.Left, u.Right} {
		name, _ := c.types.Parts(t)
		if words := c.meanings[name]; words != "" {
			out = append(out, name+": "+words)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return " (" + strings.Join(slices.Compact(out), "; ") + ")"
}

// because says why the type of a port has, at the place that path leads to, what does not fit; ""
// where its progdef says so itself.
func (c *checker) because(e end, path []int, differ clash) string {
	typename := e.typ.typename
	i := slices.Index(e.node.ports.params, typename.Name)
	for ; i < 0 && len(path) > 0; i = slices.Index(e.node.ports.params, typename.Name) {
		typename, path = typename.Args[path[0]], path[1:]
	}
	if i < 0 {
		return ""
	}
	subject, v := owner{e.node, i}, e.node.vars[i]
	reasons, free, ok := c.reasons(v, path)
	switch {
	case free:
		return fmt.Sprintf("; %s would have to be both %s and %s", subject, differ.left, differ.right)
	case !ok:
		return ""
	}
	return fmt.Sprintf("; %s is %s because of %s",
		subject, c.types.spell(v, e.node), some(reasons, ", "))
}

// reasons lists the links that have made a variable what it is, down to the part of it that path
// leads to; what comes from farther away stands before. The part is free where only the link at
// hand would make something of it; ok is false where it would take too long to find out.
func (c *checker) reasons(v unify.Term, path []int) (links []string, free, ok bool) {
	var all []int
	for {
		shape, _, args, solved := c.types.Shape(v)
		if !solved {
			return nil, true, true
		}
		why, ok := c.types.Why(shape, v, &c.types.explain)
		if !ok {
			return nil, false, false
		}
		all = append(why, all...)
		if len(path) == 0 {
			return c.spelled(all), false, true
		}
		v, path = args[path[0]], path[1:]
	}
}

// spelled names links, each once.
func (c *checker) spelled(numbers []int) []string {
	var out []string
	seen := map[int]bool{}
	for _, i := range numbers {
		if !seen[i] {
			seen[i] = true
			out = append(out, c.types.equations[i].String())
		}
	}
	return out
}

// sameness says why a type variable of the one end is one of the other.
func (c *checker) sameness(l *link) string {
	for _, i := range l.from.typ.params {
		for _, j := range l.to.typ.params {
			a, b := l.from.node.vars[i], l.to.node.vars[j]
			if a == b || c.types.Head(a) != c.types.Head(b) {
				continue
			}
			why, ok := c.types.Why(a, b, &c.types.explain)
			if !ok {
				continue
			}
			return fmt.Sprintf("; %s is %s because of %s",
				owner{l.from.node, i}, owner{l.to.node, j}, some(c.spelled(why), ", "))
		}
	}
	return ""
}
