package aggregator

import (
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
)

// A bySeq holds what is known of messages by their place in EVENTS, in that order.
type bySeq[T any] struct {
	of    map[uint64]T
	order []uint64 // also the places of some that are removed
}

func newBySeq[T any]() bySeq[T] { return bySeq[T]{of: make(map[uint64]T)} }

// add adds a message, usually behind all others.
func (b *bySeq[T]) add(seq uint64, v T) {
	b.of[seq] = v
	b.order = append(b.order, seq)
}

func (b *bySeq[T]) remove(seq uint64) {
	delete(b.of, seq)
	for len(b.order) > 0 && !b.has(b.order[0]) {
		b.order = b.order[1:]
	}
	if len(b.order) > 2*len(b.of) {
		b.order = slices.DeleteFunc(b.order, func(seq uint64) bool { return !b.has(seq) })
	}
}

func (b *bySeq[T]) has(seq uint64) bool {
	_, ok := b.of[seq]
	return ok
}

// all yields all messages in order.
func (b *bySeq[T]) all() iter.Seq2[uint64, T] {
	return func(yield func(uint64, T) bool) {
		for _, seq := range b.order {
			if v, ok := b.of[seq]; ok && !yield(seq, v) {
				return
			}
		}
	}
}

// cancels holds the cancels of flows that are not known.
type cancels struct {
	bySeq[*cancel]
	flows map[string][]*cancel
	// bytes is the size of their texts.
	bytes int
}

// cancelBytes bounds the texts of the cancels of unknown flows: users choose them.
const cancelBytes = 8 << 20

func (c *cancel) bytes() int { return len(c.Reason) + len(c.Source) }

func newCancels() cancels {
	return cancels{bySeq: newBySeq[*cancel](), flows: make(map[string][]*cancel)}
}

func (x *cancels) add(c *cancel) {
	x.bySeq.add(c.Seq, c)
	x.bytes += c.bytes()
	x.flows[c.Flow] = append(x.flows[c.Flow], c)
}

// take removes the cancels of a newly known flow, and returns them.
func (x *cancels) take(flow string) []*cancel {
	all := x.flows[flow]
	for _, c := range all {
		x.remove(c)
	}
	delete(x.flows, flow)
	return all
}

func (x *cancels) remove(c *cancel) {
	x.bySeq.remove(c.Seq)
	x.bytes -= c.bytes()
}

// answered removes a cancel.
func (x *cancels) answered(seq uint64) {
	c := x.of[seq]
	if c == nil {
		return
	}
	x.remove(c)
	rest := slices.DeleteFunc(x.flows[c.Flow], func(o *cancel) bool { return o == c })
	if x.flows[c.Flow] = rest; len(rest) == 0 {
		delete(x.flows, c.Flow)
	}
}

// askCancel folds a cancel. The flow may be unknown because its submission is not folded yet.
func (s *State) askCancel(e contract.Event, d *contract.FlowCancel) []string {
	c := &cancel{
		Seq: e.Seq, Flow: e.Subject, By: e.By, Operator: e.Operator, Source: e.Source, Reason: d.Reason, At: e.Time,
	}
	r := s.runs[e.Subject]
	switch {
	case r == nil && s.shown[e.Subject] != nil && s.shown[e.Subject].Verdict != "":
		return nil // it has ended
	case r == nil:
		s.cancels.add(c)
		return []string{keyUnanswerable}
	}
	s.cancel(r, c, e.Time)
	return []string{e.Subject, keyUnanswerable}
}

// cancel cancels a run if its owner or an operator wants that, or if one of them is not known. The first cancel counts.
func (s *State) cancel(r *run, c *cancel, now time.Time) {
	switch {
	case contract.Sender{Name: c.By, Operator: c.Operator}.Foreign(r.Owner):
		s.unanswerable.add(c.Seq, unanswerable{
			Subject: string(contract.TypeFlowCancel), Code: problem.NotYours,
			Why: fmt.Sprintf("flow %q belongs to another user: only its owner and operators can cancel it", c.Flow),
		})
	case r.Cancel == nil:
		r.Cancel, r.CancelledFirst = c, len(r.Failures) == 0
		r.beginEnding(now)
	}
}

// answered removes a message that was answered with a dead letter.
func (s *State) answered(seq uint64) []string {
	s.unanswerable.remove(seq)
	if flow, waits := s.submitted.flows[seq]; waits {
		s.submitted.answered(flow)
	}
	s.cancels.answered(seq)
	s.hooks.answered(seq)
	return []string{keyUnanswerable, keyHooks}
}
