package unify

// A Term is a type in a Solver.
type Term int32

const none = -1

// A Size is the size of a type in writing: its levels, 1 for a name alone, and its bytes. A variable counts as the
// smallest possible type.
type Size struct{ Depth, Length int }

func (s Size) within(most Size) bool { return s.Depth <= most.Depth && s.Length <= most.Length }

func larger(a, b Size) Size { return Size{max(a.Depth, b.Depth), max(a.Length, b.Length)} }

// A Solver holds the equations accepted so far. It is not safe for concurrent use.
type Solver struct {
	most  Size
	terms []term
	uses  []use
	// saved records the changes since the first mark.
	saved  []saved
	marked bool
	joins  int32
	steps  int
}

type term struct {
	name string // "" for a variable
	args []Term
	// size is the size of the type, given what is known about its arguments.
	size Size
	// up leads to the head of the class, whose up is itself; join is the reason.
	up   Term
	join join
	// class is set for heads only.
	class class
}

// A class is a set of types that are equal.
type class struct {
	members int32
	// shape is a member that has a name, or none if all are variables.
	shape Term
	size  Size
	// first and last are the ends of the list of types with an argument in this class.
	first, last int32
}

// A use is an element of a class's list: a type, and how many of its arguments are of the class.
type use struct {
	by    Term
	times int32
	next  int32
}

// A join is the reason why two classes were joined: a, of one class, equals b, of the other.
type join struct {
	at   int32
	a, b Term
	// why is the equation that requires it, or none: then a and b are at the same place in left and right, which were
	// already equal.
	why         int
	left, right Term
}

func (j join) turned() join {
	j.a, j.b, j.left, j.right = j.b, j.a, j.right, j.left
	return j
}

type saved struct {
	at  Term
	was term
}

// New returns a solver that rejects types larger than most.
func New(most Size) *Solver { return &Solver{most: most} }

// Variable returns a new variable.
func (s *Solver) Variable() Term { return s.add(term{size: Size{Depth: 1, Length: 1}}) }

// Apply returns a new type: the name applied to args, if any.
func (s *Solver) Apply(name string, args ...Term) Term {
	size := Size{Depth: 1, Length: len(name)}
	for _, a := range args {
		arg := s.terms[s.head(a)].class.size
		size.Depth = max(size.Depth, arg.Depth+1)
		size.Length += arg.Length + 1 // a comma or bracket before it
	}
	if len(args) > 0 {
		size.Length++
	}
	t := s.add(term{name: name, args: args, size: size})
	s.terms[t].class.shape = t
	for _, a := range args {
		s.note(t, s.head(a))
	}
	return t
}

func (s *Solver) add(t term) Term {
	id := Term(len(s.terms))
	t.up = id
	t.class = class{members: 1, shape: none, size: t.size, first: none, last: none}
	s.terms = append(s.terms, t)
	return id
}

// note adds a type to the list of the class of one of its arguments.
func (s *Solver) note(by, head Term) {
	c := &s.terms[head].class
	if c.last != none && s.uses[c.last].by == by {
		s.uses[c.last].times++
		return
	}
	s.save(head)
	cell := int32(len(s.uses))
	s.uses = append(s.uses, use{by: by, times: 1, next: none})
	if c.first == none {
		c.first = cell
	} else {
		s.uses[c.last].next = cell
	}
	c.last = cell
}

// Len is the number of types and parts of types that the solver holds.
func (s *Solver) Len() int { return len(s.terms) }

// Steps measures the work done for equations.
func (s *Solver) Steps() int { return s.steps }

// Head returns the same type for all types that are known to be equal.
func (s *Solver) Head(t Term) Term { return s.head(t) }

func (s *Solver) head(t Term) Term {
	for s.terms[t].up != t {
		t = s.terms[t].up
	}
	return t
}

// Parts returns a type as it was created: a variable has no name, even if it was solved.
func (s *Solver) Parts(t Term) (name string, args []Term) {
	return s.terms[t].name, s.terms[t].args
}

// Shape returns the known name and arguments of a type, or false if it is still a variable.
func (s *Solver) Shape(t Term) (shape Term, name string, args []Term, ok bool) {
	shape = s.terms[s.head(t)].class.shape
	if shape == none {
		return none, "", nil, false
	}
	return shape, s.terms[shape].name, s.terms[shape].args, true
}

// A Mark is a state of the solver to undo to.
type Mark struct{ saved, terms, uses int }

// Mark returns the current state. The solver records all changes from then on.
func (s *Solver) Mark() Mark {
	s.marked = true
	return Mark{len(s.saved), len(s.terms), len(s.uses)}
}

// Undo reverts everything since the mark: equations, and types created in between.
func (s *Solver) Undo(m Mark) {
	for i := len(s.saved) - 1; i >= m.saved; i-- {
		s.terms[s.saved[i].at] = s.saved[i].was
	}
	s.saved = s.saved[:m.saved]
	s.terms, s.uses = s.terms[:m.terms], s.uses[:m.uses]
}

// Keep makes all changes final: the solver can no longer undo to earlier marks.
func (s *Solver) Keep() { s.saved, s.marked = s.saved[:0], false }

func (s *Solver) save(t Term) {
	s.steps++
	if s.marked {
		s.saved = append(s.saved, saved{t, s.terms[t]})
	}
}
