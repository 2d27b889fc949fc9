package unify

import "slices"

// A Conflict says why two types cannot be equal.
type Conflict struct {
	Kind Kind
	// Path leads to the place in the two types, argument by argument, at which they differ.
	Path []int
	// Left and Right stand there, for Clash.
	Left, Right Term
	// Grown is the type that would be too large, or without end.
	Grown Term
}

// A Kind is a sort of conflict.
type Kind int

// The kinds of conflict.
const (
	Clash    Kind = iota // two different names, or numbers of arguments
	Infinite             // a type that contains itself
	TooDeep              // more levels than allowed
	TooLong              // more octets than allowed
)

// Equate makes two types equal, by the equation why. After a conflict the caller, who may first ask
// [Solver.Why], must go back to a mark from before.
func (s *Solver) Equate(a, b Term, why int) *Conflict {
	c := s.equate(a, b, join{a: a, b: b, why: why, left: none, right: none})
	if c != nil {
		slices.Reverse(c.Path)
	}
	return c
}

// equate makes the arguments equal before the wholes, so that a type is only ever merged with one of
// its own size, or with a variable. It descends no deeper than types may be: merge has refused
// whatever is larger.
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

// merge makes one class of two, whose heads are x and y.
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

// resize tells those who use one of two classes of the size that the two have together. It returns
// a type that is too large, or none.
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

// spread tells the types with an argument in a class that its size is another now. It returns the
// first one that becomes too large, or none.
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
		if cell == c.last { // what follows belongs to a class that was merged with it
			return none
		}
	}
}

// enlarge tells a type that an argument of it has grown.
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

// excess tells which limit a type has outgrown. Only the class that was just made can have made a
// type without end, and such a type grows until it is too large.
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

// contains reports whether a type of the class is part of another one of it: whether those that
// have it as an argument, and those that have these, lead back to it.
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
