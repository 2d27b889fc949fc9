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
}

type box struct {
	id, label string
	// end is true for the flow's own inputs and outputs, and for constants.
	end bool
}

type arrow struct{ from, to, label string }

// draw returns the picture of a flow in normal form. Boxes are numbered, because the names of nodes may be
// keywords of the graph language.
func draw(f flow.Flow) picture {
	var p picture
	nodes := make(map[string]string)
	for _, name := range slices.Sorted(maps.Keys(f.Nodes)) {
		nodes[name] = p.add(name+"\n"+f.Nodes[name].Progdef, false)
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
	p.boxes = append(p.boxes, box{id, label, end})
	return id
}

// Mermaid writes a flow as a Mermaid flowchart, which many Markdown renderers show as a picture.
func Mermaid(w io.Writer, f flow.Flow) {
	text := strings.NewReplacer("\n", "<br/>", `"`, "#quot;", "<", "&lt;", ">", "&gt;")
	p := draw(f)
	fmt.Fprintln(w, "flowchart LR")
	for _, b := range p.boxes {
		form := "  %s[\"%s\"]\n"
		if b.end {
			form = "  %s([\"%s\"])\n"
		}
		fmt.Fprintf(w, form, b.id, text.Replace(b.label))
	}
	for _, a := range p.arrows {
		fmt.Fprintf(w, "  %s -- \"%s\" --> %s\n", a.from, text.Replace(a.label), a.to)
	}
}

// DOT writes a flow in DOT, the language of Graphviz.
func DOT(w io.Writer, f flow.Flow) {
	p := draw(f)
	fmt.Fprintln(w, "digraph flow {\n  rankdir=LR;")
	for _, b := range p.boxes {
		shape := "box"
		if b.end {
			shape = "ellipse"
		}
		fmt.Fprintf(w, "  %s [shape=%s, label=%q];\n", b.id, shape, b.label)
	}
	for _, a := range p.arrows {
		fmt.Fprintf(w, "  %s -> %s [label=%q];\n", a.from, a.to, a.label)
	}
	fmt.Fprintln(w, "}")
}
