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

// submissions holds the first unanswered submission of each flow.
type submissions struct {
	of    map[string]submission
	flows map[uint64]string // by the sequence number of the submission
}

func newSubmissions() submissions {
	return submissions{of: make(map[string]submission), flows: make(map[uint64]string)}
}

func (b submissions) add(flow string, s submission) {
	if _, waits := b.of[flow]; !waits {
		b.of[flow], b.flows[s.Seq] = s, flow
	}
}

// answered removes the submission of a flow, and returns its time if known.
func (b submissions) answered(flow string) (at time.Time) {
	s := b.of[flow]
	delete(b.of, flow)
	delete(b.flows, s.Seq)
	return s.At
}
