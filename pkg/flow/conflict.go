package flow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/flow/unify"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// A clash is how two types differ, spelled out: the whole of the two types, or a part of each.
type clash struct{ left, right string }

// clashing spells the difference between a link's types. It must be called while the link still counts.
func (c *checker) clashing(u *unify.Conflict) clash {
	if u.Kind != unify.Clash {
		return clash{}
	}
	nobody := &node{}
	return clash{c.types.spell(u.Left, nobody), c.types.spell(u.Right, nobody)}
}

// tell reports a link whose ends cannot have the same type. The link no longer counts.
func (c *checker) tell(l *link, u *unify.Conflict, differ clash) {
	if c.report.Full() {
		c.add(problem.TypeMismatch, l.at, "", "") // is only counted
		return
	}
	ends := fmt.Sprintf("%s writes %s, but %s reads %s",
		l.from.text, c.types.spell(l.from.term, l.from.node),
		l.to.text, c.types.spell(l.to.term, l.to.node))
	if l.from.free && l.from.node != nil {
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

// between is a hint for an edge that needs a standard progdef in between: a Result<T> that meets its T. If an earlier
// edge wrote a Result<T> to the reader's type variable, that edge needs it.
func (c *checker) between(l *link) string {
	where := "in between"
	switch {
	case l.from.free || l.to.free:
		return ""
	case c.resultOf(l.from.term, l.to.term):
	case c.resultOf(l.to.term, l.from.term):
		first := c.resultTo(l.to.term)
		if first == nil {
			return ""
		}
		where = "in " + first.String()
	default:
		return ""
	}
	return "put an `assert` " + where + " to read the values, which panics at the first error, " +
		"or an `ignore_errors`, which drops errors"
}

// resultTo returns the link that made a variable a Result<T> by writing one, or nil.
func (c *checker) resultTo(v unify.Term) *link {
	shape, _, _, _ := c.types.Shape(v)
	why, _ := c.types.Why(shape, v, &c.types.explain)
	for _, i := range why {
		if l := c.types.equations[i]; !l.from.free && !l.to.free && l.from.typ.typename.Name == resultType {
			return l
		}
	}
	return nil
}

// resultOf reports whether one type is a Result<T> and the other one its T, as far as T is known.
func (c *checker) resultOf(result, value unify.Term) bool {
	_, name, args, solved := c.types.Shape(result)
	if !solved || name != resultType || len(args) != 1 {
		return false
	}
	nobody := &node{}
	_, _, _, known := c.types.Shape(args[0])
	return !known || c.types.spell(args[0], nobody) == c.types.spell(value, nobody)
}

// resultType is the identifier of the typename Result<T>.
const resultType = "Result"

// meaning describes the two types that differ in a few words, as far as they are documented.
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

// because explains how the type of a port came to have the part at path that does not fit. It
// returns "" if the port's progdef declares it.
func (c *checker) because(e end, path []int, differ clash) string {
	if e.node == nil {
		return ""
	}
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

// reasons lists the links that gave a variable its type, down to the part of it at path; the most
// distant links come first. The part is free if only the link at hand would determine it; ok is
// false if it would take too long to find out.
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

// spelled spells links, each once.
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

// sameness explains why a type variable of one end equals one of the other.
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
