package unify

import "math"

// Why returns the equations that made a equal to b, in the order that leads from a to b, without repeats. It takes at
// most *budget steps, and decrements the budget for each. It returns false if they do not suffice.
func (s *Solver) Why(a, b Term, budget *int) ([]int, bool) {
	e := explainer{s: s, told: map[int]bool{}, opened: map[[2]Term]bool{}}
	e.push(a, b)
	for len(e.tasks) > 0 {
		if *budget--; *budget < 0 {
			return nil, false
		}
		last := len(e.tasks) - 1
		t := e.tasks[last]
		e.tasks = e.tasks[:last]
		e.do(t)
	}
	return e.out, true
}

// An explainer walks through the forest of classes.
type explainer struct {
	s     *Solver
	tasks []task
	out   []int
	told  map[int]bool
	// opened holds the pairs of types that are already explained, so that each is explained once.
	opened map[[2]Term]bool
}

// A task explains why two types are equal, or reports an equation.
type task struct {
	a, b Term
	why  int
}

func (e *explainer) push(a, b Term) {
	if a != b {
		e.tasks = append(e.tasks, task{a: a, b: b, why: none})
	}
}

func (e *explainer) do(t task) {
	if t.why != none {
		if !e.told[t.why] {
			e.told[t.why] = true
			e.out = append(e.out, t.why)
		}
		return
	}
	j, ok := e.s.latest(t.a, t.b)
	if !ok {
		return
	}
	// Last in, first out: from a to j.a, over the join, from j.b to b.
	e.push(j.b, t.b)
	switch pair := [2]Term{j.left, j.right}; {
	case j.why != none:
		e.tasks = append(e.tasks, task{why: j.why})
	case !e.opened[pair]:
		e.opened[pair] = true
		e.push(j.left, j.right)
	}
	e.push(t.a, j.a)
}

// latest returns the join that united the classes of a and b, oriented from a to b. On the path from a member to the
// head, each join is later than the one before.
func (s *Solver) latest(a, b Term) (j join, ok bool) {
	for a != b {
		x, y := s.joined(a), s.joined(b)
		switch {
		case x == math.MaxInt32 && y == math.MaxInt32:
			return join{}, false // not equal
		case x < y:
			j, a = s.terms[a].join, s.terms[a].up
		default:
			j, b = s.terms[b].join.turned(), s.terms[b].up
		}
	}
	return j, true
}

// joined returns when a type's class was joined to another; for a head it returns the maximum.
func (s *Solver) joined(t Term) int32 {
	if s.terms[t].up == t {
		return math.MaxInt32
	}
	return s.terms[t].join.at
}
