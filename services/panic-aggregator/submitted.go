package aggregator

import (
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A submission has no answer yet.
type submission struct {
	Seq uint64    `json:"seq"`
	At  time.Time `json:"at"`
}

func (b submission) status(flow string) contract.FlowStatus {
	return contract.FlowStatus{Flow: flow, Phase: contract.TypeFlowSubmit, Submitted: b.At, Updated: b.At}
}

const (
	// mostSubmissions bounds the unanswered submissions that are known: the oldest are forgotten first.
	mostSubmissions = 10_000
	// answerWait is how long the answer to a submission may take while later ones are answered.
	answerWait = time.Minute
)

// submissions holds the first unanswered submission of each flow. The validator does not answer one that repeats a
// flow in history: it is forgotten once a later submission is answered.
type submissions struct {
	of    map[string]submission
	flows map[uint64]string // by the sequence number of the submission
	order []uint64          // the sequence numbers, also of some that are answered
}

func newSubmissions() submissions {
	return submissions{of: make(map[string]submission), flows: make(map[uint64]string)}
}

func (b *submissions) add(flow string, s submission) {
	if _, waits := b.of[flow]; waits {
		return
	}
	b.of[flow], b.flows[s.Seq] = s, flow
	b.order = append(b.order, s.Seq)
	b.forget(func(submission) bool { return len(b.of) > mostSubmissions })
}

// passed forgets the submissions before one that is answered, as far as their answers are overdue.
func (b *submissions) passed(answered uint64, now time.Time) {
	b.forget(func(s submission) bool { return s.Seq < answered && now.Sub(s.At) > answerWait })
}

// forget removes the oldest submissions for as long as they match.
func (b *submissions) forget(match func(submission) bool) {
	for len(b.order) > 0 {
		flow, waits := b.flows[b.order[0]]
		if waits && !match(b.of[flow]) {
			return
		}
		delete(b.of, flow)
		delete(b.flows, b.order[0])
		b.order = b.order[1:]
	}
}

// answered removes the submission of a flow, and returns its time if known.
func (b *submissions) answered(flow string) (at time.Time) {
	s, waits := b.of[flow]
	if waits {
		delete(b.of, flow)
		delete(b.flows, s.Seq)
	}
	return s.At
}
