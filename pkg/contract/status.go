package contract

import (
	"time"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
)

// FlowStatus is the state of a flow, or how it ended: the answer to AskFlowGet. The status of an ended flow is
// stored in StreamHistory.
type FlowStatus struct {
	Flow string `json:"flow"`
	// Phase is the type of the most advanced event of the flow.
	Phase Type `json:"phase"`
	// Verdict is the type of the event that ended the flow, "" while it has not ended.
	Verdict Type `json:"verdict,omitempty"`
	// Document is the digest of the submitted document, as in FlowValidated.
	Document string `json:"document,omitempty"`
	// Owner is the user who submitted the flow, "" if nothing proves it.
	Owner     string               `json:"owner,omitempty"`
	Submitted time.Time            `json:"submitted"`
	Updated   time.Time            `json:"updated"`
	Deadline  time.Time            `json:"deadline,omitzero"`
	Duration  document.Duration    `json:"duration,omitempty"`
	Jobs      map[string]JobStatus `json:"jobs"`
	// Stream stores the flow's edges. Inputs and Outputs are the flow's own ends: clients write the first and
	// read the second.
	Stream  string             `json:"stream,omitempty"`
	Inputs  map[string]Address `json:"inputs,omitempty"`
	Outputs map[string]Address `json:"outputs,omitempty"`
	// Waits lists the ends of a running flow that wait for a client.
	Waits  []ClientWait `json:"waits,omitempty"`
	Queued *FlowQueued  `json:"queued,omitempty"`
	// Stalled is set while no record moves in the flow although jobs run.
	Stalled  *FlowStalled `json:"stalled,omitempty"`
	Problems problem.List `json:"problems,omitempty"`
	// Failures lists the cause first.
	Failures []JobFailure `json:"failures,omitempty"`
	// CancelledBy is who cancelled the flow, CancelSource the source of the flow.cancel, which proves nothing.
	CancelledBy  string `json:"cancelledBy,omitempty"`
	CancelSource string `json:"cancelSource,omitempty"`
	Reason       string `json:"reason,omitempty"`
	// Edges counts what went over each edge. For a running flow the counts may be a moment old.
	Edges []EdgeCount `json:"edges,omitempty"`
	// Omitted names what was left out of the stored status because it was too large for a message.
	Omitted string `json:"omitted,omitempty"`
}

// FlowKeys are the keys of a flow's sealed edges: the answer to AskFlowKeys.
type FlowKeys struct {
	// Keys are by the subject in the edge's address. A flow with more than 5,000 edges has them for its own inputs and
	// outputs first.
	Keys map[string]Key `json:"keys"`
}

// A JobExecutor is the executor that has started a job: the answer to AskJobExecutor.
type JobExecutor struct {
	// Executor is "" if the job has not started.
	Executor string `json:"executor"`
}

// A ClientWait is an end of a running flow that waits for a client: an input into which nothing was written, or an
// output with unread records.
type ClientWait struct {
	Input  string `json:"input,omitempty"`
	Output string `json:"output,omitempty"`
	// Unread is the size of the output's stored and unread records, in bytes.
	Unread int64 `json:"unread,omitempty"`
	// Attached is true if a client has begun to read the output: it is slow, or gone.
	Attached bool `json:"attached,omitempty"`
}

// JobStatus is the state of one job of a flow.
type JobStatus struct {
	Progdef  string `json:"progdef"`
	Revision string `json:"revision"`
	JobSummary
	PortCounts
}

// FlowQuery selects flows: the request of AskFlowList. The zero value selects every stored flow; a flow must
// meet every condition that is set.
type FlowQuery struct {
	// Live selects the flows without a verdict.
	Live bool `json:"live,omitempty"`
	// States selects the flows whose phase or verdict is one of these types.
	States []Type `json:"states,omitempty"`
	// Since and Until limit the time of submission: at or after Since, and before Until.
	Since time.Time `json:"since,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Text is part of the flow's id, of a progdef's name, of the reason of a cancellation, or of the message
	// of a failure or problem. It is case-sensitive.
	Text string `json:"text,omitempty"`
	// Progdef selects the flows with a job of this progdef.
	Progdef string `json:"progdef,omitempty"`
	// User selects the flows that this user submitted: their owner.
	User string `json:"user,omitempty"`
	// Limit is the maximum number of flows in a page; 0 means the default.
	Limit int `json:"limit,omitempty"`
	// After is the Next of the previous page.
	After string `json:"after,omitempty"`
}

// FlowPage is the answer to AskFlowList: first the current flows, the most recently submitted first; then those in
// history, the most recently stored first.
type FlowPage struct {
	Flows []FlowLine `json:"flows"`
	// Next continues the list; it is "" at the end. A page may have few flows or none and still have a Next: the
	// time of a search is limited.
	Next string `json:"next,omitempty"`
	// Problems lists what could not be read; the affected flows are missing from the list.
	Problems []string `json:"problems,omitempty"`
}

// FlowLine is one flow in a FlowPage: the short form of its FlowStatus.
type FlowLine struct {
	Flow      string            `json:"flow"`
	Phase     Type              `json:"phase"`
	Verdict   Type              `json:"verdict,omitempty"`
	Owner     string            `json:"owner,omitempty"`
	Submitted time.Time         `json:"submitted,omitzero"`
	Updated   time.Time         `json:"updated,omitzero"`
	Duration  document.Duration `json:"duration,omitempty"`
	// Jobs counts the flow's jobs by their state.
	Jobs map[JobState]int `json:"jobs,omitempty"`
	// Records is the number of records that the readers of all edges have received, nil if it is not known.
	Records *int64 `json:"records,omitempty"`
	// Place is the flow's place in the queue for capacity, or 0 if it is not in the queue.
	Place int `json:"place,omitempty"`
	// Message is the first failure, the reason of a cancel, the first problem, what a stalled flow waits for, or why
	// executors of a running flow cannot run yet, shortened.
	Message string `json:"message,omitempty"`
}
