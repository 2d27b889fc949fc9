package flow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/flow/unify"
	"github.com/dagyo/dagyo/pkg/problem"
)

// findUnsolved reports the type variables that nothing determines. Equal variables are one problem,
// reported at the first node.
func (c *checker) findUnsolved() {
	t := c.types
	excused := map[unify.Term]bool{}
	for v := range t.excused {
		t.excuseParts(v, excused)
	}
	same, heads := map[unify.Term][]owner{}, []unify.Term{}
	for _, name := range c.names {
		for i, v := range c.nodes[name].vars {
			head := t.Head(v)
			if _, _, _, solved := t.Shape(v); solved || excused[head] {
				continue
			}
			if same[head] == nil {
				heads = append(heads, head)
			}
			same[head] = append(same[head], owner{c.nodes[name], i})
		}
	}
	for _, head := range heads {
		c.tellUnsolved(same[head])
	}
}

// excuseParts excuses the unsolved variables in a type.
func (t *typing) excuseParts(term unify.Term, excused map[unify.Term]bool) {
	head := t.Head(term)
	if excused[head] {
		return
	}
	excused[head] = true
	_, _, args, _ := t.Shape(term)
	for _, a := range args {
		t.excuseParts(a, excused)
	}
}

func (c *checker) tellUnsolved(same []owner) {
	first := same[0]
	message := fmt.Sprintf("cannot infer %s: no port of known type is connected to %s",
		first, some(first.ports(), " or "))
	if others := same[1:]; len(others) > 0 {
		verb := map[bool]string{true: " is", false: " are"}[len(others) == 1]
		message += "; " + some(texts(others), " and ") + verb + " the same type"
	}
	c.add(problem.UnsolvedType, c.at("nodes", first.node.name), message, fmt.Sprintf(
		`connect one to a port of known type, or name the type in the node: "types": {%q: "json"}`,
		first.name()))
}

// ports names the ports of the node that use the type parameter.
func (o owner) ports() []string {
	var out []string
	for _, side := range o.node.ports.sides {
		for _, port := range side.names {
			if t := side.types[port]; slices.Contains(t.params, o.param) {
				out = append(out, name(o.node, port))
			}
		}
	}
	return out
}

func texts[T fmt.Stringer](list []T) []string {
	out := make([]string, len(list))
	for i, x := range list {
		out[i] = x.String()
	}
	return out
}

// some joins words. It shortens a long list in the middle.
func some(words []string, last string) string {
	const ends = 3
	if skipped := len(words) - 2*ends; skipped > 1 {
		middle := fmt.Sprintf("(%d more)", skipped)
		words = append(append(append([]string{}, words[:ends]...), middle),
			words[len(words)-ends:]...)
	}
	n := len(words) - 1
	if n < 1 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:n], ", ") + last + words[n]
}
