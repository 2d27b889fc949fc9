package flow

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// reserved reports the ends of a flow that have the name of a port that every program has.
func (c *checker) reserved() {
	for field, written := range map[string]map[string]any{"inputs": c.doc.inputs, "outputs": c.doc.outputs} {
		for _, name := range []string{progdef.StopPort, progdef.PanicPort} {
			if _, there := written[name]; there {
				c.add(problem.BadName, c.at(field, name), document.Quote(name)+" is reserved: it is a port of every program",
					"give it another name")
			}
		}
	}
}

// declare gives the flow's ends the types of the progdef's ports. Type parameters are types of which nothing is known.
func (c *checker) declare(doc progdef.Document) {
	c.params = doc.TypeParams
	for side, declared := range [2]map[string]progdef.Port{input: doc.Inputs, output: doc.Outputs} {
		field, written := direction(side).String()+"s", c.doc.inputs
		if direction(side) == output {
			written = c.doc.outputs
		}
		c.ends[side] = parsed(declared, nil)
		for _, name := range sortedKeys(declared) {
			if _, there := written[name]; !there {
				c.report.Add(problem.UnknownPort, fmt.Sprintf("the flow has no %s %s", direction(side), document.Quote(name)),
					"add it to the flow, or remove it here", field, name)
			}
		}
		for _, name := range sortedKeys(written) {
			if _, there := declared[name]; !there {
				c.add(problem.UnknownPort, c.at(field, name), fmt.Sprintf("the %s %s is not declared in the progdef's %q",
					direction(side), document.Quote(name), field),
					`declare all ports of the flow, or neither "inputs" nor "outputs": they are inferred then`)
			}
		}
	}
}

// shadowed reports the type parameters of a progdef that are also the name of a type in its flow.
func (c *checker) shadowed(doc progdef.Document) {
	if len(doc.TypeParams) == 0 {
		return
	}
	used := c.typenames()
	for i, param := range doc.TypeParams {
		if by := used[param]; by != "" {
			c.report.Add(problem.BadTypeParam, fmt.Sprintf("%s is also the name of a type, which %s uses",
				document.Quote(param), by), "give the type parameter another name", "typeParams", strconv.Itoa(i))
		}
	}
}

// typenames returns the identifiers of all types in the flow other than its type parameters, with a progdef or node that
// uses each.
func (c *checker) typenames() map[string]string {
	out := map[string]string{}
	var add func(t progdef.Typename, params []string, by string)
	add = func(t progdef.Typename, params []string, by string) {
		if !slices.Contains(params, t.Name) {
			out[t.Name] = by
		}
		for _, a := range t.Args {
			add(a, params, by)
		}
	}
	for _, name := range sortedKeys(c.ports) {
		p := c.ports[name]
		for _, side := range p.sides {
			for _, t := range side.types {
				if t != nil {
					add(t.typename, p.params, "the progdef "+name)
				}
			}
		}
	}
	for _, name := range c.names {
		n := c.nodes[name]
		if n.sub != nil {
			maps.Copy(out, n.sub.typenames)
		}
		for _, written := range n.types {
			text, _ := written.(string)
			if t, err := progdef.ParseTypename(text); err == nil {
				add(t, c.params, "the node "+name)
			}
		}
		if n.constant != nil {
			if t := n.ports.sides[output].types[constPort]; t != nil {
				add(t.typename, c.params, "the node "+name)
			}
		}
	}
	return out
}

// infer declares the ports of a progdef by the types of its flow's ends. A type that the flow leaves open becomes a type
// parameter.
func (c *checker) infer(doc *progdef.Document) {
	params := namer{used: c.typenames(), names: map[any]string{}}
	doc.Inputs, doc.Outputs = map[string]progdef.Port{}, map[string]progdef.Port{}
	for _, l := range c.links {
		switch {
		case l.from.outer():
			doc.Inputs[l.from.port] = progdef.Port{Type: c.typeOf(l, l.to, &params)}
		case l.to.outer():
			doc.Outputs[l.to.port] = progdef.Port{Type: c.typeOf(l, l.from, &params)}
		}
	}
	doc.TypeParams = params.list
}

// typeOf writes the type of a link at one of the flow's own ends, given its other end.
func (c *checker) typeOf(l *link, inner end, params *namer) string {
	if inner.typ == nil { // any type may stop a node
		return params.name(l)
	}
	return c.types.write(inner.term, params)
}

// A namer names type parameters T, U, V, W, T1, U1, …, without those that are used for types.
type namer struct {
	used  map[string]string
	names map[any]string
	list  []string
	tried int
}

func (n *namer) name(of any) string {
	if name := n.names[of]; name != "" {
		return name
	}
	const letters = "TUVW"
	name := ""
	for name == "" || n.used[name] != "" {
		name = letters[n.tried%len(letters) : n.tried%len(letters)+1]
		if round := n.tried / len(letters); round > 0 {
			name += strconv.Itoa(round)
		}
		n.tried++
	}
	n.names[of] = name
	n.list = append(n.list, name)
	return name
}
