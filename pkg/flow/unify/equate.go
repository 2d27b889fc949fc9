package unify

import "slices"

// A Conflict explains why two types cannot be equal.
type Conflict struct {
	Kind Kind
	// Path is the place at which the two types differ, as a list of argument indexes.
	Path []int
	// Left and Right are the different types at Path, for Clash.
	Left, Right Term
	// Grown is the type that would be too large or infinite.
	Grown Term
}

// A Kind is a kind of conflict.
type Kind int

// The kinds of conflict.
const (
	Clash    Kind = iota // different names or numbers of arguments
	Infinite             // a type that contains itself
	TooDeep              // more levels than allowed
	TooLong              // more bytes than allowed
)

// Equate makes two types equal, because of the equation why. After a conflict the caller may call [Solver.Why], and
// must then undo to an earlier mark.
func (s *Solver) Equate(a, b Term, why int) *Conflict {
	c := s.equate(a, b, join{a: a, b: b, why: why, left: none, right: none})
	if c != nil {
		slices.Reverse(c.Path)
	}
	return c
}

// equate makes the arguments equal before the types that contain them, so a type is only merged with a type of the same
// size or with a variable. The recursion is bounded by the limit on levels, because merge rejects larger types.
func (s *Solver) equate(a, b Term, j join) *Conflict {
	s.steps++
	x, y := s.head(a), s.head(b)
	if x == y {
		return nil
	}
	left, right := s.terms[x].class.shape, s.terms[y].class.shape
	if left != none && right != none {
		if !s.alike(left, right) {
			return &Conflict{Kind: Clash, Left: left, Right: right}
		}
		if c := s.equateArgs(left, right); c != nil {
			return c
		}
	}
	return s.merge(x, y, j)
}

func (s *Solver) equateArgs(left, right Term) *Conflict {
	for i, a := range s.terms[left].args {
		b := s.terms[right].args[i]
		c := s.equate(a, b, join{a: a, b: b, why: none, left: left, right: right})
		if c != nil {
			c.Path = append(c.Path, i)
			return c
		}
	}
	return nil
}

func (s *Solver) alike(a, b Term) bool {
	return s.terms[a].name == s.terms[b].name && len(s.terms[a].args) == len(s.terms[b].args)
}

// merge joins the two classes whose heads are x and y.
func (s *Solver) merge(x, y Term, j join) *Conflict {
	if s.terms[x].class.members > s.terms[y].class.members {
		x, y, j = y, x, j.turned()
	}
	s.save(x)
	s.save(y)
	s.joins++
	j.at = s.joins
	s.terms[x].up, s.terms[x].join = y, j
	less, more := s.terms[x].class, s.terms[y].class
	s.terms[y].class = s.together(less, more)
	grown := s.resize(s.terms[y].class, less, more)
	if grown == none {
		return nil
	}
	return &Conflict{Kind: s.excess(grown, y), Grown: grown}
}

// resize updates the sizes of the types that use one of two joined classes. It returns a type that is too large, or
// none.
func (s *Solver) resize(both, less, more class) Term {
	if !both.size.within(s.most) {
		return both.shape
	}
	if grown := s.spread(less, both.size); grown != none {
		return grown
	}
	return s.spread(more, both.size)
}

func (s *Solver) together(a, b class) class {
	out := class{
		members: a.members + b.members, shape: b.shape, size: larger(a.size, b.size),
		first: b.first, last: b.last,
	}
	if b.shape == none {
		out.shape = a.shape
	}
	switch {
	case b.first == none:
		out.first, out.last = a.first, a.last
	case a.first != none:
		s.uses[b.last].next = a.first
		out.last = a.last
	}
	return out
}

// spread updates the types with an argument in a class whose size has changed. It returns the first type that becomes
// too large, or none.
func (s *Solver) spread(c class, size Size) Term {
	longer := size.Length - c.size.Length
	if c.first == none || size == c.size {
		return none
	}
	for cell := c.first; ; cell = s.uses[cell].next {
		u := s.uses[cell]
		if grown := s.enlarge(u.by, size.Depth+1, longer*int(u.times)); grown != none {
			return grown
		}
		if cell == c.last { // the rest belongs to a class that was merged with it
			return none
		}
	}
}

// enlarge updates the size of a type after an argument has grown.
func (s *Solver) enlarge(t Term, depth, longer int) Term {
	s.save(t)
	own := &s.terms[t].size
	own.Depth, own.Length = max(own.Depth, depth), own.Length+longer
	if !own.within(s.most) {
		return t
	}
	head := s.head(t)
	before := s.terms[head].class
	size := larger(before.size, *own)
	if size == before.size {
		return none
	}
	s.save(head)
	s.terms[head].class.size = size
	return s.spread(before, size)
}

// excess returns the limit that a type exceeds. A type can only have become infinite by the latest merge, and such a
// type grows until it is too large.
func (s *Solver) excess(grown, made Term) Kind {
	switch {
	case s.contains(made):
		return Infinite
	case s.terms[grown].size.Depth > s.most.Depth:
		return TooDeep
	default:
		return TooLong
	}
}

// contains reports whether a type of the class is a part of another type of the class: whether following the users of
// the class, and their users, leads back to it.
func (s *Solver) contains(head Term) bool {
	seen := map[Term]bool{}
	for next := []Term{head}; len(next) > 0; {
		c := s.terms[next[0]].class
		next = next[1:]
		for cell := c.first; cell != none; cell = s.uses[cell].next {
			s.steps++
			h := s.head(s.uses[cell].by)
			if h == head {
				return true
			}
			if !seen[h] {
				seen[h] = true
				next = append(next, h)
			}
			if cell == c.last {
				break
			}
		}
	}
	return false
}
