package contract

import (
	"time"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
)

// FlowStatus is where a flow stands: the value of its key in BucketFlows. It is a view that follows
// the events by a fraction of a second.
type FlowStatus struct {
	Flow string `json:"flow"`
	// Phase is the type of the event that has brought the flow farthest.
	Phase Type `json:"phase"`
	// Verdict is the type of the event that ended the flow, "" while it has not ended.
	Verdict   Type                 `json:"verdict,omitempty"`
	Submitted time.Time            `json:"submitted"`
	Updated   time.Time            `json:"updated"`
	Deadline  time.Time            `json:"deadline,omitzero"`
	Duration  document.Duration    `json:"duration,omitempty"`
	Jobs      map[string]JobStatus `json:"jobs"`
	Outputs   map[string]Address   `json:"outputs,omitempty"`
	Queued    *FlowQueued          `json:"queued,omitempty"`
	Problems  problem.List         `json:"problems,omitempty"`
	// Failures lists the cause first.
	Failures    []JobFailure `json:"failures,omitempty"`
	CancelledBy string       `json:"cancelledBy,omitempty"`
	Reason      string       `json:"reason,omitempty"`
	Edges       []EdgeCount  `json:"edges,omitempty"`
}

// JobStatus is where one job of a flow stands.
type JobStatus struct {
	Progdef  string `json:"progdef"`
	Revision string `json:"revision"`
	JobSummary
	PortCounts
}
