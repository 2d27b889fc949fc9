package unify

import (
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A problem is a list of types, and equations between them by their indexes.
type problem struct {
	types     []draft
	equations [][2]int
}

// A draft is a variable, or a name applied to earlier drafts.
type draft struct {
	name string
	args []int
}

func drawProblem(t *rapid.T) problem {
	var p problem
	for i := range rapid.IntRange(1, 20).Draw(t, "types") {
		d := draft{name: rapid.SampledFrom([]string{"", "", "", "a", "b", "l", "p"}).Draw(t, "name")}
		for range map[string]int{"l": 1, "p": 2}[d.name] {
			if i > 0 {
				d.args = append(d.args, rapid.IntRange(0, i-1).Draw(t, "arg"))
			}
		}
		p.types = append(p.types, d)
	}
	index := rapid.IntRange(0, len(p.types)-1)
	for range rapid.IntRange(0, 20).Draw(t, "equations") {
		p.equations = append(p.equations, [2]int{index.Draw(t, "a"), index.Draw(t, "b")})
	}
	return p
}

func (p problem) solver() (*Solver, []Term) {
	s := New(Size{Depth: 30, Length: 1 << 20})
	var terms []Term
	for _, d := range p.types {
		if d.name == "" {
			terms = append(terms, s.Variable())
			continue
		}
		args := make([]Term, len(d.args))
		for i, a := range d.args {
			args[i] = terms[a]
		}
		terms = append(terms, s.Apply(d.name, args...))
	}
	return s, terms
}

// solve returns the indexes of the accepted equations.
func (p problem) solve(t *rapid.T) (s *Solver, terms []Term, held []int) {
	s, terms = p.solver()
	for i, e := range p.equations {
		mark, before := s.Mark(), snapshot(s)
		if s.Equate(terms[e[0]], terms[e[1]], i) == nil {
			held = append(held, i)
			continue
		}
		s.Undo(mark)
		if after := snapshot(s); !reflect.DeepEqual(before, after) {
			t.Fatalf("equation %d left a trace:\n%+v\n%+v", i, before, after)
		}
	}
	return s, terms, held
}

// snapshot returns the relevant state of a solver: its types, and the lists of their uses.
func snapshot(s *Solver) any {
	lists := map[Term][]use{}
	for i := range s.terms {
		c := s.terms[i].class
		for cell := c.first; cell != none; cell = s.uses[cell].next {
			u := s.uses[cell]
			lists[Term(i)] = append(lists[Term(i)], use{by: u.by, times: u.times})
			if cell == c.last {
				break
			}
		}
	}
	return []any{slices.Clone(s.terms), lists}
}

func TestRejectedEquationsLeaveNoTrace(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { drawProblem(t).solve(t) })
}

// TestWhySuffices solves again with only the equations that an explanation names.
func TestWhySuffices(t *testing.T) {
	explained := 0
	rapid.Check(t, func(t *rapid.T) {
		p := drawProblem(t)
		s, terms, _ := p.solve(t)
		a := rapid.IntRange(0, len(terms)-1).Draw(t, "a")
		for b := range terms {
			if s.Head(terms[a]) != s.Head(terms[b]) {
				continue
			}
			budget := 100_000
			why, ok := s.Why(terms[a], terms[b], &budget)
			if !ok {
				t.Fatal("the explanation is too long")
			}
			again, same := p.solver()
			for _, i := range why {
				e := p.equations[i]
				if c := again.Equate(same[e[0]], same[e[1]], i); c != nil {
					t.Fatalf("equation %d: %+v", i, c)
				}
			}
			if again.Head(same[a]) != again.Head(same[b]) {
				t.Fatalf("%v do not make %d equal to %d: %+v", why, a, b, p)
			}
			explained += len(why)
		}
	})
	if explained == 0 {
		t.Error("nothing was explained")
	}
}

func TestWhyKeepsToItsBudget(t *testing.T) {
	s := New(Size{Depth: 8, Length: 255})
	vars := []Term{s.Variable()}
	for i := range 1000 {
		vars = append(vars, s.Variable())
		s.Equate(vars[i], vars[i+1], i)
	}
	budget := 100
	if why, ok := s.Why(vars[0], vars[1000], &budget); ok {
		t.Errorf("explained in %d equations", len(why))
	}
	budget = 10_000
	why, ok := s.Why(vars[0], vars[1000], &budget)
	if !ok || len(why) != 1000 || !slices.IsSorted(why) {
		t.Errorf("%v, %v", ok, why)
	}
}

// Sizes equal those of the written types, in whichever order the equations came.
func TestSizes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, terms, _ := drawProblem(t).solve(t)
		for _, term := range terms {
			if got, want := s.terms[s.Head(term)].class.size, measured(s, term); got != want {
				t.Fatalf("size %v, want %v", got, want)
			}
		}
	})
}

func measured(s *Solver, t Term) Size {
	_, name, args, ok := s.Shape(t)
	if !ok {
		return Size{Depth: 1, Length: 1}
	}
	out := Size{Depth: 1, Length: len(name)}
	for _, a := range args {
		arg := measured(s, a)
		out.Depth = max(out.Depth, arg.Depth+1)
		out.Length += arg.Length + 1
	}
	if len(args) > 0 {
		out.Length++
	}
	return out
}

// A type that doubles repeatedly must be rejected long before it is written anywhere.
func TestBlowUp(t *testing.T) {
	s := New(Size{Depth: 1000, Length: 1000})
	v := s.Variable()
	for range 100 {
		next := s.Variable()
		c := s.Equate(next, s.Apply("p", v, v), 0)
		if c != nil {
			if c.Kind != TooLong {
				t.Errorf("conflict %+v", c)
			}
			return
		}
		v = next
	}
	t.Error("accepted a type of 2^100 bytes")
}

// If types are related before they are known, the last equation makes all of them grow.
func TestLateBlowUp(t *testing.T) {
	s := New(Size{Depth: 1000, Length: 1 << 20})
	var vars []Term
	for range 18 {
		vars = append(vars, s.Variable())
	}
	for i := len(vars) - 2; i >= 0; i-- {
		if c := s.Equate(vars[i+1], s.Apply("p", vars[i], vars[i]), 0); c != nil {
			t.Fatalf("%d: %+v", i, c)
		}
	}
	before := s.Steps()
	if c := s.Equate(vars[0], s.Apply("quite-long"), 0); c == nil || c.Kind != TooLong {
		t.Errorf("conflict %+v", c)
	}
	if steps := s.Steps() - before; steps > 1000 {
		t.Errorf("%d steps", steps)
	}
}
