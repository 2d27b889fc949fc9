package flow

import (
	"fmt"

	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// solveTypes gives every link its typename and reports each link whose ends disagree.
func (c *checker) solveTypes() {
	for _, l := range c.links {
		typename, ok := solve(l.from.typename, l.to.typename)
		l.typename = typename
		if !ok {
			c.add(problem.TypeMismatch, l.at, fmt.Sprintf("%s writes %s, but %s reads %s",
				l.from.text, l.from.typename, l.to.text, l.to.typename), "")
		}
	}
}

// solve returns the one typename that both ends of a stream can have. An empty one is free. This
// is where unification takes the place of equality once progdefs have type variables.
func solve(from, to progdef.Typename) (progdef.Typename, bool) {
	if from.Name == "" {
		return to, true
	}
	return from, to.Name == "" || from.Equal(to)
}
