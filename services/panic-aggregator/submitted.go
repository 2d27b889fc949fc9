package aggregator

import (
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A submission has no answer yet.
type submission struct {
	Seq uint64    `json:"seq"`
	At  time.Time `json:"at"`
	By  string    `json:"by,omitempty"` // the user, "" if that is not proven
}

func (b submission) status(flow string) contract.FlowStatus {
	return contract.FlowStatus{
		Flow: flow, Phase: contract.TypeFlowSubmit, Owner: b.By, Submitted: b.At, Updated: b.At,
	}
}

// mostSubmissions bounds the unanswered submissions that are known: the oldest are forgotten first.
const mostSubmissions = 10_000

// submissions holds the first unanswered submission of each flow.
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
	for len(b.order) > 0 {
		flow, waits := b.flows[b.order[0]]
		if waits && len(b.of) <= mostSubmissions {
			return
		}
		delete(b.of, flow)
		delete(b.flows, b.order[0])
		b.order = b.order[1:]
	}
}

// answered removes the submission of a flow, and returns it if it is known.
func (b *submissions) answered(flow string) (s submission, waited bool) {
	s, waited = b.of[flow]
	if waited {
		delete(b.of, flow)
		delete(b.flows, s.Seq)
	}
	return s, waited
}
