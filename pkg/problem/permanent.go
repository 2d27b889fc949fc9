package problem

// A Permanent error does not go away on retry; the problem is the answer.
type Permanent struct{ Problem Problem }

func (p *Permanent) Error() string { return p.Problem.String() }
