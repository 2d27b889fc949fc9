package flow

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
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
	s := search{c: c, closed: map[[2]*node]bool{}, nested: c.nested()}
	// The search begins at the sources, so that it reports the edge that a person would call backward.
	for _, name := range c.names {
		if n := c.nodes[name]; !n.fed {
			s.visit(n)
		}
	}
	for _, name := range c.names {
		s.visit(c.nodes[name])
	}
}

// nested reports whether a node of the flow stands for a flow.
func (c *checker) nested() bool {
	return slices.ContainsFunc(c.names, func(name string) bool { return c.nodes[name].sub != nil })
}

// A search walks the graph depth first.
type search struct {
	c    *checker
	path []*node
	// closed holds the pairs of nodes with a reported back edge: parallel edges are one cycle.
	closed map[[2]*node]bool
	// nested is true if a node stands for a flow. Then components are those of the expanded flow, found when needed.
	nested     bool
	components map[string]int
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
	if s.closed[pair] || s.c.report.Full() || !s.onCycle(l) {
		return
	}
	s.closed[pair] = true
	s.c.add(problem.Cycle, l.at, "the edges make a cycle: "+s.spell(l.to.node),
		"a flow runs from its sources to its sinks")
}

// onCycle reports whether a link that closes a cycle is on one in the expanded flow, too: streams that pass through a
// node on separate ways make none.
func (s *search) onCycle(l *link) bool {
	if !s.nested {
		return true
	}
	if s.components == nil {
		s.components = s.c.expandedComponents()
	}
	from, to, ok := l.edge().leads()
	return ok && s.components[from] == s.components[to]
}

// leads returns the nodes that a stream connects. It is not ok if an end is not a node or the stream only stops one.
func (e Edge) leads() (from, to string, ok bool) {
	from, _, _ = strings.Cut(e.From, ".")
	to, port, _ := strings.Cut(e.To, ".")
	return from, to, from != "" && to != "" && port != progdef.StopPort
}

// expandedComponents returns the number of the strongly connected component of each node of the expanded flow: nodes on a
// cycle have the same one.
func (c *checker) expandedComponents() map[string]int {
	r := components{next: map[string][]string{}, order: map[string]int{}, of: map[string]int{}}
	for _, name := range c.names {
		n := c.nodes[name]
		for _, l := range n.out {
			r.add(l.edge())
		}
		if n.sub == nil {
			continue
		}
		for _, e := range n.sub.flow.Edges {
			if e.From != "" && e.To != "" {
				r.add(Edge{From: joinPort(name, e.From), To: joinPort(name, e.To)})
			}
		}
	}
	for _, name := range sortedKeys(r.next) {
		if r.order[name] == 0 {
			r.visit(name)
		}
	}
	return r.of
}

// components are the strongly connected components of a graph, found by Tarjan's algorithm.
type components struct {
	next      map[string][]string
	order, of map[string]int
	open      []string
}

func (r *components) add(e Edge) {
	if from, to, ok := e.leads(); ok {
		r.next[from] = append(r.next[from], to)
	}
}

// visit returns the first node, by order, that the node leads back to.
func (r *components) visit(name string) int {
	r.order[name] = len(r.order) + 1
	first, own := r.order[name], len(r.open)
	r.open = append(r.open, name)
	for _, to := range r.next[name] {
		switch {
		case r.order[to] == 0:
			first = min(first, r.visit(to))
		case r.of[to] == 0:
			first = min(first, r.order[to])
		}
	}
	if first == r.order[name] {
		for _, member := range r.open[own:] {
			r.of[member] = first
		}
		r.open = r.open[:own]
	}
	return first
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
