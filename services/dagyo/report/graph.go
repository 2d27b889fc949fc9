package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/flow"
)

// A picture is a flow drawn as boxes and arrows.
type picture struct {
	boxes  []box
	arrows []arrow
	// groups are the labels of subflows by name, within are the subflows that they are part of.
	groups, within map[string]string
}

type box struct {
	id, label string
	// group is the subflow that the box is part of, "" for none.
	group string
	// end is true for the flow's own inputs and outputs, and for constants.
	end bool
}

type arrow struct{ from, to, label string }

// draw returns the picture of a flow in normal form. Boxes are numbered, because the names of nodes may be
// keywords of the graph language.
func draw(f flow.Flow) picture {
	p := picture{groups: map[string]string{}, within: map[string]string{}}
	for name, s := range f.Subflows {
		p.groups[name], p.within[name] = strings.TrimPrefix(name, s.Subflow+"--")+"\n"+s.Progdef, s.Subflow
	}
	nodes := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(f.Nodes)) {
		n := f.Nodes[name]
		nodes[name] = p.add(strings.TrimPrefix(name, n.Subflow+"--")+"\n"+n.Progdef, false)
		p.boxes[len(p.boxes)-1].group = n.Subflow
	}
	for _, e := range f.Edges {
		from, fromPort, isPort := strings.Cut(e.From, ".")
		source := nodes[from]
		if !isPort {
			source = p.add(endLabel(e), true)
		}
		to, toPort, isPort := strings.Cut(e.To, ".")
		sink := nodes[to]
		if !isPort {
			sink = p.add(e.Output, true)
		}
		p.arrows = append(p.arrows, arrow{source, sink, strings.TrimSpace(fromPort+" → "+toPort) + "\n" + e.Type})
	}
	return p
}

// endLabel returns the label of a source that is not a node.
func endLabel(e flow.Edge) string {
	switch {
	case e.Input != "":
		return e.Input
	case e.Const != nil && e.Const.Node != "":
		return e.Const.Node + "\n" + document.Count(len(e.Const.Values), "record")
	default:
		return document.Count(len(e.Const.Values), "record")
	}
}

func (p *picture) add(label string, end bool) string {
	id := fmt.Sprintf("n%d", len(p.boxes))
	p.boxes = append(p.boxes, box{id: id, label: label, end: end})
	return id
}

// A brush writes a picture in some language.
type brush struct {
	begin func(label, indent string)
	box   func(b box, indent string)
	end   func(indent string)
}

// paint paints the boxes in a subflow, and those of the subflows in it.
func (p *picture) paint(group, indent string, with brush) {
	for _, b := range p.boxes {
		if b.group == group {
			with.box(b, indent)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.groups)) {
		if p.within[name] == group {
			with.begin(p.groups[name], indent)
			p.paint(name, indent+"  ", with)
			with.end(indent)
		}
	}
}

// Mermaid writes a flow as a Mermaid flowchart, which many Markdown renderers show as a picture.
func Mermaid(w io.Writer, f flow.Flow) {
	text := strings.NewReplacer("\n", "<br/>", `"`, "#quot;", "<", "&lt;", ">", "&gt;")
	p := draw(f)
	fmt.Fprintln(w, "flowchart LR")
	groups := 0
	p.paint("", "  ", brush{
		begin: func(label, indent string) {
			fmt.Fprintf(w, "%ssubgraph g%d[\"%s\"]\n", indent, groups, text.Replace(label))
			groups++
		},
		box: func(b box, indent string) {
			form := "%s%s[\"%s\"]\n"
			if b.end {
				form = "%s%s([\"%s\"])\n"
			}
			fmt.Fprintf(w, form, indent, b.id, text.Replace(b.label))
		},
		end: func(indent string) { fmt.Fprintln(w, indent+"end") },
	})
	for _, a := range p.arrows {
		fmt.Fprintf(w, "  %s -- \"%s\" --> %s\n", a.from, text.Replace(a.label), a.to)
	}
}

// DOT writes a flow in DOT, the language of Graphviz.
func DOT(w io.Writer, f flow.Flow) {
	p := draw(f)
	fmt.Fprintln(w, "digraph flow {\n  rankdir=LR;")
	groups := 0
	p.paint("", "  ", brush{
		begin: func(label, indent string) {
			fmt.Fprintf(w, "%ssubgraph cluster_g%d {\n%s  label=%q;\n", indent, groups, indent, label)
			groups++
		},
		box: func(b box, indent string) {
			shape := "box"
			if b.end {
				shape = "ellipse"
			}
			fmt.Fprintf(w, "%s%s [shape=%s, label=%q];\n", indent, b.id, shape, b.label)
		},
		end: func(indent string) { fmt.Fprintln(w, indent+"}") },
	})
	for _, a := range p.arrows {
		fmt.Fprintf(w, "  %s -> %s [label=%q];\n", a.from, a.to, a.label)
	}
	fmt.Fprintln(w, "}")
}
