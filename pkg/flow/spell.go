package flow

import (
	"strings"

	"github.com/dagyo/dagyo/pkg/flow/unify"
)

// text returns the solved typename of a port.
func (t *typing) text(e end) string {
	if !e.typ.generic() {
		return e.typ.text
	}
	head := t.Head(e.term)
	text, known := t.texts[head]
	if !known {
		text = t.spell(e.term, e.node)
		t.texts[head] = text
	}
	return text
}

// spell writes a type as far as it is known. An unknown part is written as the node's own type
// parameter if it has one for it, else with the name of the node that owns it.
func (t *typing) spell(term unify.Term, n *node) string {
	if _, name, args, ok := t.Shape(term); ok {
		return written(name, args, func(a unify.Term) string { return t.spell(a, n) })
	}
	if n != nil { // it is nil for an end of the flow
		for i, v := range n.vars {
			if t.Head(v) == t.Head(term) {
				return n.ports.params[i]
			}
		}
	}
	o := t.owners[term]
	return o.node.name + "." + o.name()
}

// write writes a type in which names stand for what is not known.
func (t *typing) write(term unify.Term, names *namer) string {
	if _, name, args, ok := t.Shape(term); ok {
		return written(name, args, func(a unify.Term) string { return t.write(a, names) })
	}
	return names.name(t.Head(term))
}

// declared writes a type as its node's progdef declares it.
func (t *typing) declared(term unify.Term) string {
	name, args := t.Parts(term)
	if name == "" {
		return t.owners[term].name()
	}
	return written(name, args, t.declared)
}

func written(name string, args []unify.Term, write func(unify.Term) string) string {
	if len(args) == 0 {
		return name
	}
	texts := make([]string, len(args))
	for i, a := range args {
		texts[i] = write(a)
	}
	return name + "<" + strings.Join(texts, ",") + ">"
}

// grown names a type that is too large: its declared form, and its owner.
func (t *typing) grown(term unify.Term) string {
	text := t.declared(term)
	if o, ok := t.ownerOf(term); ok {
		text += " of node " + o.node.name
	}
	return text
}

// ownerOf returns the owner of a variable in a type.
func (t *typing) ownerOf(term unify.Term) (owner, bool) {
	name, args := t.Parts(term)
	if name == "" {
		return t.owners[term], true
	}
	for _, a := range args {
		if o, ok := t.ownerOf(a); ok {
			return o, true
		}
	}
	return owner{}, false
}
