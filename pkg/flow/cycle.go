package flow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/problem"
)

// A visit is the state of a node in the search for cycles.
type visit int

const (
	unseen visit = iota
	onPath
	finished
)

// findCycles reports each edge that leads back to a node on the path to it, with the cycle that it
// closes. Without those edges the graph would have no cycle.
func (c *checker) findCycles() {
	s := search{c: c, closed: map[[2]*node]bool{}}
	// The search begins at the sources, so that it reports the edge that a person would call backward.
	for _, name := range c.names {
		if n := c.nodes[name]; !n.fed {
			s.visit(n)
		}
	}
	for _, name := range c.names {
		s.visit(c.nodes[name])
	}
	if len(s.found) == 0 || c.nested() && c.acyclic() {
		return
	}
	for _, f := range s.found {
		c.add(problem.Cycle, f.at, f.message, "a flow runs from its sources to its sinks")
	}
}

// nested reports whether a node of the flow stands for a flow.
func (c *checker) nested() bool {
	return slices.ContainsFunc(c.names, func(name string) bool { return c.nodes[name].sub != nil })
}

// mostCycles bounds the cycles that are spelled.
const mostCycles = 1000

// A search walks the graph depth first.
type search struct {
	c    *checker
	path []*node
	// closed holds the pairs of nodes with a reported back edge: parallel edges are one cycle.
	closed map[[2]*node]bool
	found  []found
}

// found is a cycle, at the edge that closes it.
type found struct {
	at      []string
	message string
}

func (s *search) visit(n *node) {
	if n.state != unseen {
		return
	}
	n.state = onPath
	s.path = append(s.path, n)
	for _, l := range n.out {
		if l.to.node.state == onPath {
			s.close(l)
		}
		s.visit(l.to.node)
	}
	s.path = s.path[:len(s.path)-1]
	n.state = finished
}

func (s *search) close(l *link) {
	pair := [2]*node{l.from.node, l.to.node}
	if s.closed[pair] || len(s.found) >= mostCycles {
		return
	}
	s.closed[pair] = true
	s.found = append(s.found, found{l.at, "the edges make a cycle: " + s.spell(l.to.node)})
}

// spell names the nodes of the cycle that leads from start along the path and back to start.
func (s *search) spell(start *node) string {
	const ends = 5
	first := len(s.path) - 1
	for s.path[first] != start {
		first--
	}
	cycle := s.path[first:]
	var names []string
	for i, n := range cycle {
		if skipped := len(cycle) - 2*ends; i == ends && skipped > 0 {
			names = append(names, fmt.Sprintf("(%d more)", skipped))
		}
		if i < ends || i >= len(cycle)-ends {
			names = append(names, n.name)
		}
	}
	return strings.Join(append(names, start.name), " -> ")
}
