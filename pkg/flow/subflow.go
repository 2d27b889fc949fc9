package flow

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// maxNesting bounds how deep subflows are nested.
const maxNesting = 8

// A subflow is the flow of a progdef, checked against the catalogue as it is now.
type subflow struct {
	// flow is its normal form, with the flows of its own nodes expanded. Its typenames use the progdef's type parameters.
	flow   Flow
	pinned map[string]progdef.Pinned
	size   size
	// typenames are the identifiers of the types in it, with a progdef or node that uses each.
	typenames map[string]string
	// inlets and outlets are the edges at its ends, by port.
	inlets, outlets map[string]Edge
	// problems is why it cannot be used, with pointers into the progdef.
	problems problem.List
}

// subflows are those that a check has needed so far. Each is checked once at each level: deeper ones may be too deep.
type subflows struct {
	known  Known
	limits Limits
	done   map[place]*subflow
	// path names the progdefs whose flows are being checked, the outermost first.
	path []string
}

// A place is a progdef with a flow, and the number of those around it.
type place struct {
	progdef string
	level   int
}

// of returns the flow of a progdef, or nil if it is a program.
func (s *subflows) of(name string) *subflow {
	broken := func(code problem.Code, message string) *subflow {
		return &subflow{problems: problem.List{{Code: code, Pointer: "/flow", Message: message}}}
	}
	// First, since the catalogue may still have a program under the name of a flow that is about to be published.
	if i := slices.Index(s.path, name); i >= 0 {
		return broken(problem.Cycle, "a flow cannot contain itself: "+strings.Join(append(s.path[i:len(s.path):len(s.path)], name), " -> "))
	}
	doc := s.known.Progdefs[name].Document
	if doc.Flow == nil {
		return nil
	}
	if len(s.path) >= maxNesting {
		return broken(problem.TooDeep, fmt.Sprintf("flows are nested more than %d levels deep", maxNesting))
	}
	at := place{name, len(s.path)}
	if s.done[at] == nil {
		s.done[at] = s.check(doc)
	}
	return s.done[at]
}

// check checks the flow of a progdef whose ports are declared.
func (s *subflows) check(doc progdef.Document) *subflow {
	c := s.checker(doc)
	c.reserved()
	c.declare(doc)
	if c.countable() {
		c.graph()
		c.shadowed(doc)
	}
	if problems := c.report.List(); problems != nil {
		return &subflow{problems: problems, size: c.size}
	}
	out := &subflow{flow: c.normal(0, 0), pinned: c.programs(), size: c.size, typenames: c.typenames()}
	out.inlets, out.outlets = map[string]Edge{}, map[string]Edge{}
	for _, e := range out.flow.Edges {
		if e.Input != "" {
			out.inlets[e.Input] = e
		}
		if e.Output != "" {
			out.outlets[e.Output] = e
		}
	}
	return out
}

// checker returns a checker of a progdef's flow.
func (s *subflows) checker(doc progdef.Document) *checker {
	c := newChecker(s.known, s.limits)
	c.prefix, c.open = []string{"flow"}, true
	c.subflows = &subflows{s.known, s.limits, s.done, append(s.path[:len(s.path):len(s.path)], doc.Name)}
	var fields map[string]any
	_ = json.Unmarshal(doc.Flow, &fields) // whoever has checked the progdef has reported what is wrong with its form
	c.doc = fieldsOf(fields)
	return c
}

// Subflow checks the flow of a progdef document that is about to be published, and fills in the ports of one that
// declares none. The pointers of problems are into the progdef.
func (k Known) Subflow(doc progdef.Document, limits Limits) (progdef.Document, problem.List) {
	s := &subflows{known: k, limits: limits, done: map[place]*subflow{}}
	if len(doc.Inputs)+len(doc.Outputs)+len(doc.TypeParams) == 0 {
		c := s.checker(doc)
		c.reserved()
		if c.countable() {
			c.graph()
		}
		if problems := c.report.List(); problems != nil {
			return doc, problems
		}
		c.infer(&doc)
		if n := len(doc.TypeParams); n > progdef.MaxTypeParams {
			return doc, problem.List{{
				Code: problem.TooMany, Pointer: "/flow",
				Message: fmt.Sprintf("the flow leaves %d types open; the limit is %d", n, progdef.MaxTypeParams),
				Hint:    `name some of them in the nodes: "types": {"T": "json"}`,
			}}
		}
	}
	return doc, s.check(doc).problems
}
