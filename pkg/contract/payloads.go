package contract

import (
	"encoding/json"
	"time"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// FlowSubmit is the flow document as the user sent it; package flow checks it.
type FlowSubmit = json.RawMessage

// ProgdefApply is the progdef document as the user sent it; package progdef checks it.
type ProgdefApply = json.RawMessage

// FlowCancel asks for the end of a flow. A sender may leave Flow to the event's subject; a received
// event has it.
type FlowCancel struct {
	Flow   string `json:"flow,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// ProgdefRemove takes a progdef out of the catalogue. Running flows keep their revision.
// A sender may leave Name to the event's subject; a received event has it.
type ProgdefRemove struct {
	Name string `json:"name,omitempty"`
}

// ProgdefApplied says that a progdef is in the catalogue.
type ProgdefApplied struct {
	Name     string           `json:"name"`
	Revision string           `json:"revision"`
	Document progdef.Document `json:"document"`
}

// ProgdefRejected lists all that is wrong with a progdef.
type ProgdefRejected struct {
	Name     string       `json:"name"`
	Problems problem.List `json:"problems"`
}

// ProgdefRemoved says that a progdef is no longer in the catalogue.
type ProgdefRemoved struct {
	Name string `json:"name"`
}

// FlowRejected lists all that is wrong with a flow. It will not run.
type FlowRejected struct {
	Problems problem.List `json:"problems"`
}

// FlowValidated is the flow in normal form, with the progdefs that its nodes are pinned to.
type FlowValidated struct {
	Flow     flow.Flow                 `json:"flow"`
	Progdefs map[string]progdef.Pinned `json:"progdefs"`
	// Document is the digest of the submitted document, as document.Digest makes it. Another submission of that
	// document under the same id is the same submission; one of another document is refused.
	Document string `json:"document,omitempty"`
}

// FlowPlanned says which jobs the flow is made of and where its edges lie. The broker objects
// exist when it is published.
type FlowPlanned struct {
	Jobs     []Job                     `json:"jobs"`
	Edges    []PlannedEdge             `json:"edges"`
	Progdefs map[string]progdef.Pinned `json:"progdefs"`
	// Inputs and Outputs are the flow's own ends: clients write the first and read the second.
	Inputs  map[string]Address `json:"inputs"`
	Outputs map[string]Address `json:"outputs"`
	// Panics says where the panic-aggregator writes the panic of a job that has it wired, by job.
	Panics map[string]Address `json:"panics,omitempty"`
	// Deadline is the moment at which the flow panics if it has not ended.
	Deadline time.Time `json:"deadline"`
	// Stream is the JetStream stream that stores the flow's edges and stops, "" for a flow without nodes.
	Stream string `json:"stream,omitempty"`
	// Stop is the subject that stops the flow's jobs; reporting ones have LastStop, "" where there are none.
	Stop     string `json:"stop"`
	LastStop string `json:"lastStop,omitempty"`
	// OutputRetention is how long the outputs stay readable after the verdict.
	OutputRetention document.Duration `json:"outputRetention"`
}

// A PlannedEdge names both ends of an edge and its subject.
type PlannedEdge struct {
	From    string `json:"from"`
	To      string `json:"to"`
	Type    string `json:"type"`
	Subject string `json:"subject"`
	// Credit is the subject of what the edge's reader has consumed.
	Credit string `json:"credit,omitempty"`
	// Const counts the records that were written when the flow was planned.
	Const *Count `json:"const,omitempty"`
}

// FlowQueued says what a flow waits for.
type FlowQueued struct {
	// Place is 1 for the flow that is next, 0 for one that has its capacity and waits for executors that
	// cannot run yet.
	Place    int        `json:"place"`
	Shortage []Shortage `json:"shortage"`
}

// A Shortage is capacity that a flow needs and cannot have (yet).
type Shortage struct {
	Progdef  string `json:"progdef,omitempty"`
	Revision string `json:"revision,omitempty"`
	// What is "slots" (of the progdef's executors) or "executors" (of the whole installation).
	What   string `json:"what"`
	Needed int    `json:"needed"`
	Free   int    `json:"free"`
	Limit  int    `json:"limit"`
	// Reason says in words why executors that were started cannot run yet.
	Reason string `json:"reason,omitempty"`
}

// FlowSpawned says that the flow's capacity is granted and its jobs are on their mailboxes.
type FlowSpawned struct {
	// Executors counts the executors of each revision ("progdef.revision") that may serve the flow.
	Executors map[string]int `json:"executors"`
	Jobs      int            `json:"jobs"`
}

// JobStarted says that an executor has claimed a job. It exists at most once for every job.
type JobStarted struct {
	Job      string `json:"job"`
	Executor string `json:"executor"`
}

// JobDone says that a job has ended without failing.
type JobDone struct {
	Job      string `json:"job"`
	Executor string `json:"executor"`
	// Stopped is true when the job ended because its flow was stopped.
	Stopped bool `json:"stopped,omitempty"`
	PortCounts
}

// PortCounts counts what a job read and wrote, by port.
type PortCounts struct {
	Inputs  map[string]Count `json:"inputs,omitempty"`
	Outputs map[string]Count `json:"outputs,omitempty"`
	// ClosedEarly names the inputs that the job stopped reading before their end.
	ClosedEarly []string `json:"closedEarly,omitempty"`
}

// JobPanic says that a job has failed, and why.
type JobPanic struct {
	Job      string `json:"job"`
	Executor string `json:"executor"`
	Failure
	PortCounts
}

// A Kind is the sort of a panic.
type Kind string

// The kinds of panic. Append-only: they go on the wire.
const (
	KindError           Kind = "error"           // the program said that it failed
	KindDeserialization Kind = "deserialization" // a record is not what its typename promises
	KindCrash           Kind = "crash"           // the process ended without a word
	KindProtocol        Kind = "protocol"        // a gap, a bad frame or bad totals on an edge
	KindLostHealth      Kind = "lost-health"     // no sign of life in time
	KindDeadline        Kind = "deadline"        // the flow did not end in time
	KindDrained         Kind = "drained"         // the executor had to go before the job was done
)

// A Failure is the cause of a panic.
type Failure struct {
	Kind    Kind   `json:"kind"`
	Message string `json:"message"`
	// Port and Record (from 0) say where in the data it happened, where that is known.
	Port   string `json:"port,omitempty"`
	Record *int64 `json:"record,omitempty"`
	// Detail is the stack or the last lines of standard error; at most DetailLimit octets.
	Detail string `json:"detail,omitempty"`
}

// DetailLimit bounds Failure.Detail and every other free text in events, in octets.
const DetailLimit = 8 << 10

// ExecutorStarted says that an executor process has been started.
type ExecutorStarted struct {
	Executor string `json:"executor"`
	Progdef  string `json:"progdef"`
	Revision string `json:"revision"`
}

// ExecutorDraining says that an executor takes no more jobs.
type ExecutorDraining struct {
	Executor string `json:"executor"`
	Progdef  string `json:"progdef"`
	Revision string `json:"revision"`
	Reason   string `json:"reason"`
}

// ExecutorExited says that an executor process is gone.
type ExecutorExited struct {
	Executor string `json:"executor"`
	Progdef  string `json:"progdef"`
	Revision string `json:"revision"`
	// Code is the exit code, -1 when a signal ended the process or the code is unknown.
	Code   int    `json:"code"`
	Signal string `json:"signal,omitempty"`
	Reason string `json:"reason"`
	// Detail is the end of the process's standard error.
	Detail string `json:"detail,omitempty"`
	// Permanent is true when no executor of this revision can be started as its progdef asks.
	Permanent bool `json:"permanent,omitempty"`
}

// An EdgeCount is what went over one edge.
type EdgeCount struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Sent and Received are what writer and reader have counted, nil where that is not known: a job that was
	// lost counts nothing, and what a client has read is known once it says so.
	Sent     *Count `json:"sent,omitempty"`
	Received *Count `json:"received,omitempty"`
	// ClosedEarly is true when the reader stopped before the end; only then may Received be less than Sent in a
	// completed flow.
	ClosedEarly bool `json:"closedEarly,omitempty"`
}

// FlowCompleted is the verdict on a flow all of whose jobs are done.
type FlowCompleted struct {
	Duration document.Duration `json:"duration"`
	Jobs     int               `json:"jobs"`
	Edges    []EdgeCount       `json:"edges"`
}

// FlowPanic is the verdict on a flow that failed.
type FlowPanic struct {
	Duration document.Duration `json:"duration"`
	// Cause is the first failure, Others every further one in the order they were heard.
	Cause  JobFailure            `json:"cause"`
	Others []JobFailure          `json:"others"`
	Jobs   map[string]JobSummary `json:"jobs"`
	Edges  []EdgeCount           `json:"edges"`
}

// A JobFailure is a failure and whose it is. Job is "" for the flow's own (its deadline).
type JobFailure struct {
	Job      string `json:"job,omitempty"`
	Progdef  string `json:"progdef,omitempty"`
	Executor string `json:"executor,omitempty"`
	Failure
}

// A JobSummary is how far a job came.
type JobSummary struct {
	State    JobState `json:"state"`
	Executor string   `json:"executor,omitempty"`
}

// A JobState is where a job stands in its life.
type JobState string

// The states of a job.
const (
	JobWaiting  JobState = "waiting" // planned, not yet claimed
	JobRunning  JobState = "running"
	JobEnded    JobState = "done"
	JobStopped  JobState = "stopped"
	JobPanicked JobState = "panicked"
)

// FlowCancelled is the verdict on a flow that a user ended.
type FlowCancelled struct {
	Duration document.Duration     `json:"duration"`
	By       string                `json:"by"`
	Reason   string                `json:"reason,omitempty"`
	Jobs     map[string]JobSummary `json:"jobs"`
	Edges    []EdgeCount           `json:"edges"`
}

// FlowCleaned says that nothing of the flow is left on the broker.
type FlowCleaned struct {
	Stream    string   `json:"stream,omitempty"`
	Mailboxes []string `json:"mailboxes"`
	// Read is what a client says that it has read of the outputs, by output.
	Read map[string]OutputCount `json:"read,omitempty"`
}

// A Release is the message on ReleaseSubject, which may be empty, too: all that was wanted of a flow's outputs has
// been read.
type Release struct {
	Read map[string]OutputCount `json:"read,omitempty"`
}

// An OutputCount is what a client has read of an output.
type OutputCount struct {
	Count
	// ClosedEarly is true when the client stopped before the end.
	ClosedEarly bool `json:"closedEarly,omitempty"`
}

// DeadLetter is an event that could not be answered to its sender.
type DeadLetter struct {
	Subject  string `json:"subject"`
	Sequence uint64 `json:"sequence"`
	// Source and ID are the CloudEvents attributes of the message, as far as they could be read.
	Source   string       `json:"source,omitempty"`
	ID       string       `json:"id,omitempty"`
	Problems problem.List `json:"problems"`
	// Excerpt is the beginning of the message, as text.
	Excerpt string `json:"excerpt"`
}

// A Capacity is what serves one revision now; AskExecutors is answered with one for each revision that
// has executors, jobs, or the catalogue's word, of all progdefs or of the one whose name is asked for.
type Capacity struct {
	Progdef  string `json:"progdef"`
	Revision string `json:"revision"`
	// Current is true for the revision that new flows get.
	Current bool `json:"current"`
	// Executors take jobs; Draining only finish those that they run.
	Executors int `json:"executors"`
	Draining  int `json:"draining"`
	// Running counts the jobs that executors have claimed, Waiting those that have a slot and are in
	// the mailbox.
	Running int `json:"running"`
	Waiting int `json:"waiting"`
	// Failed counts the executors in a row that ended before they started a job. Reason says how the last of them
	// ended, or why executors that were started cannot run yet; Detail is the end of its standard error.
	Failed int    `json:"failed,omitempty"`
	Reason string `json:"reason,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Retry is the earliest time of the next start.
	Retry time.Time `json:"retry,omitzero"`
}

// A Tick tells a service the broker's time, and that all that was stored before is known: it is the clock
// by which time-outs and deadlines are decided.
type Tick struct {
	// Service is the service that asked for it.
	Service string `json:"service"`
}
