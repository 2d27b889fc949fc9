package problem

// A Permanent error does not pass by itself: no retry is worth it, and the problem is the answer.
type Permanent struct{ Problem Problem }

func (p *Permanent) Error() string { return p.Problem.String() }
