package contract

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// FlowSubmit is the flow document as sent by the user; package flow checks it.
type FlowSubmit = json.RawMessage

// ProgdefApply is the progdef document as sent by the user; package progdef checks it.
type ProgdefApply = json.RawMessage

// FlowCancel requests the end of a flow. A sender may omit Flow if the event's subject is set; a received
// event always has it.
type FlowCancel struct {
	Flow   string `json:"flow,omitempty"`
	Reason string `json:"reason,omitempty"`
}

// ProgdefRemove removes a progdef from the catalogue. Running flows keep their revision.
// A sender may omit Name if the event's subject is set; a received event always has it.
type ProgdefRemove struct {
	Name string `json:"name,omitempty"`
}

// ProgdefApplied reports that a progdef is in the catalogue.
type ProgdefApplied struct {
	Name     string           `json:"name"`
	Revision string           `json:"revision"`
	Document progdef.Document `json:"document"`
	// By is the user who asked for it, according to the subject of the command, here and in the other answers.
	By string `json:"by,omitempty"`
}

// ProgdefRejected lists all problems of a progdef.
type ProgdefRejected struct {
	Name     string       `json:"name"`
	Problems problem.List `json:"problems"`
	By       string       `json:"by,omitempty"`
}

// ProgdefRemoved reports that a progdef is no longer in the catalogue.
type ProgdefRemoved struct {
	Name string `json:"name"`
	By   string `json:"by,omitempty"`
}

// FlowRejected lists all problems of a flow. It will not run.
type FlowRejected struct {
	Problems problem.List `json:"problems"`
}

// FlowValidated is the flow in normal form, with the progdefs that its nodes are pinned to.
type FlowValidated struct {
	Flow     flow.Flow    `json:"flow"`
	Progdefs progdef.Pins `json:"progdefs"`
	// Document is the digest of the submitted document, as document.Digest makes it. Another submission of that
	// document under the same id is the same submission; one of another document is refused.
	Document string `json:"document,omitempty"`
	// Owner is the user who submitted the flow, as proven by the NATS subject; "" if nothing proves it.
	Owner string `json:"owner,omitempty"`
}

// FlowPlanned contains the flow's jobs and the addresses of its edges. The broker objects exist when it is
// published.
type FlowPlanned struct {
	Jobs     []Job         `json:"jobs"`
	Edges    []PlannedEdge `json:"edges"`
	Progdefs progdef.Pins  `json:"progdefs"`
	// Inputs and Outputs are the flow's own: clients write the inputs and read the outputs.
	Inputs  map[string]Address `json:"inputs"`
	Outputs map[string]Address `json:"outputs"`
	// Panics is where the panic-aggregator writes the panic of a job whose panic port is connected, by job.
	Panics map[string]Address `json:"panics,omitempty"`
	// Deadline is the time at which the flow panics if it has not ended.
	Deadline time.Time `json:"deadline"`
	// Stream is the JetStream stream that stores the flow's edges and stops; "" for a flow without nodes.
	Stream string `json:"stream,omitempty"`
	// Stop is the subject that stops the flow's jobs; LastStop stops reporting jobs, "" if there are none.
	Stop     string `json:"stop"`
	LastStop string `json:"lastStop,omitempty"`
	// Priority orders the flows that wait for capacity: the highest goes first.
	Priority int `json:"priority,omitempty"`
	// OutputRetention is how long the outputs stay readable after the verdict.
	OutputRetention document.Duration `json:"outputRetention"`
}

// A PlannedEdge names both ends of an edge and its subject.
type PlannedEdge struct {
	From    string `json:"from"`
	To      string `json:"to"`
	Type    string `json:"type"`
	Subject string `json:"subject"`
	// Credit is the subject of the credits of the edge's reader.
	Credit string `json:"credit,omitempty"`
	// Const counts the records that were written while the flow was planned.
	Const *Count `json:"const,omitempty"`
}

// Salt returns the salt of the flow's edges, or "" if they are not sealed.
func (d *FlowPlanned) Salt() string {
	all := []map[string]Address{d.Inputs, d.Outputs, d.Panics}
	for _, j := range d.Jobs {
		all = append(all, j.Inputs, j.Outputs)
	}
	for _, addresses := range all {
		for _, a := range addresses {
			return a.Salt // it is the same for all edges
		}
	}
	return ""
}

// FlowQueued reports what a flow is waiting for.
type FlowQueued struct {
	// Place is 1 for the first of the flows that wait for what this one lacks, by priority and arrival. It is 0 for a
	// flow that has its capacity and is waiting for executors that cannot run yet.
	Place    int        `json:"place"`
	Shortage []Shortage `json:"shortage"`
	// Behind names flows that are directly ahead in this order, the nearest first.
	Behind []string `json:"behind,omitempty"`
}

// Kinds of capacity: that of executors, and the limits of each tenant and of each user.
const (
	WhatSlots           = "slots"
	WhatExecutors       = "executors"
	WhatTenantFlows     = "tenant-flows"
	WhatTenantSlots     = "tenant-slots"
	WhatTenantExecutors = "tenant-executors"
	WhatUserFlows       = "user-flows"
	WhatUserSlots       = "user-slots"
	WhatUserExecutors   = "user-executors"
)

// A Shortage is capacity that a flow needs and does not have (yet).
type Shortage struct {
	Progdef  string `json:"progdef,omitempty"`
	Revision string `json:"revision,omitempty"`
	// What is WhatSlots (of the progdef's executors), WhatExecutors (of the whole installation), or a limit of the flow's
	// tenant or user.
	What   string `json:"what"`
	Needed int    `json:"needed"`
	Free   int    `json:"free"`
	// Held is how many the flows of the tenant or user hold, of its limit.
	Held int `json:"held,omitempty"`
	// Kept is how many of the free ones are kept for a flow that has waited for longer.
	Kept  int `json:"kept,omitempty"`
	Limit int `json:"limit"`
	// HeldBy names some of the flows that hold the slots.
	HeldBy []string `json:"heldBy,omitempty"`
	// Reason explains why executors that were started cannot run yet.
	Reason string `json:"reason,omitempty"`
}

// String returns the shortage as "1 slot of greet (0 of 3 free; held by f, g)", or as "2 slots within the user's limit
// (3 of 4 held)".
func (s Shortage) String() string {
	holder, unit, limited := strings.Cut(s.What, "-")
	if !limited {
		unit = s.What
	}
	what := document.Count(s.Needed, strings.TrimSuffix(unit, "s"))
	how := fmt.Sprintf("%d of %d free", s.Free, s.Limit)
	switch {
	case limited:
		what += " within the " + holder + "'s limit"
		how = fmt.Sprintf("%d of %d held", s.Held, s.Limit)
	case s.Progdef != "":
		what += " of " + s.Progdef
	}
	if s.Kept > 0 {
		how += fmt.Sprintf(", %d kept for another flow", s.Kept)
	}
	if len(s.HeldBy) > 0 {
		how += "; held by " + strings.Join(s.HeldBy, ", ")
	}
	return what + " (" + how + ")"
}

// Lacks returns all that is short as one phrase, "capacity" if nothing is.
func (q FlowQueued) Lacks() string {
	var parts []string
	for _, s := range q.Shortage {
		parts = append(parts, s.String())
	}
	if len(parts) == 0 {
		return "capacity"
	}
	return strings.Join(parts, ", ")
}

// FlowSpawned reports that the flow's capacity is granted and its jobs are in their mailboxes.
type FlowSpawned struct {
	// Executors counts the executors of each revision ("progdef.revision") that may serve the flow.
	Executors map[string]int `json:"executors"`
	Jobs      int            `json:"jobs"`
}

// JobStarted reports that an executor has claimed a job. There is at most one for every job.
type JobStarted struct {
	Job      string `json:"job"`
	Executor string `json:"executor"`
}

// JobDone reports that a job ended without failing.
type JobDone struct {
	Job      string `json:"job"`
	Executor string `json:"executor"`
	// Stopped is true if the job ended because its flow was stopped.
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

// JobPanic reports that a job failed, and why.
type JobPanic struct {
	Job      string `json:"job"`
	Executor string `json:"executor"`
	Failure
	PortCounts
}

// A Kind is the kind of a panic.
type Kind string

// The kinds of panic. Append-only: they go on the wire.
const (
	KindError           Kind = "error"           // the program reported a failure
	KindDeserialization Kind = "deserialization" // a record does not match its typename
	KindCrash           Kind = "crash"           // the process exited without reporting an end
	KindProtocol        Kind = "protocol"        // a gap, a bad frame or bad totals on an edge
	KindLostHealth      Kind = "lost-health"     // no heartbeat in time
	KindDeadline        Kind = "deadline"        // the flow did not end in time
	KindDrained         Kind = "drained"         // the executor had to exit before the job was done
	KindLostEdges       Kind = "lost-edges"      // the broker no longer has what was stored of the flow's edges
)

// A Failure is the cause of a panic.
type Failure struct {
	Kind    Kind   `json:"kind"`
	Message string `json:"message"`
	// Port and Record (from 0) are where in the data it happened, if known.
	Port   string `json:"port,omitempty"`
	Record *int64 `json:"record,omitempty"`
	// Detail is the stack or the last lines of standard error; at most DetailLimit bytes.
	Detail string `json:"detail,omitempty"`
}

// DetailLimit limits Failure.Detail and every other free text in events, in bytes.
const DetailLimit = 8 << 10

// ExecutorStarted reports that an executor process was started.
type ExecutorStarted struct {
	Executor string `json:"executor"`
	Progdef  string `json:"progdef"`
	Revision string `json:"revision"`
}

// ExecutorDraining reports that an executor takes no more jobs.
type ExecutorDraining struct {
	Executor string `json:"executor"`
	Progdef  string `json:"progdef"`
	Revision string `json:"revision"`
	Reason   string `json:"reason"`
}

// ExecutorExited reports that an executor process has exited.
type ExecutorExited struct {
	Executor string `json:"executor"`
	Progdef  string `json:"progdef"`
	Revision string `json:"revision"`
	// Code is the exit code, or -1 if a signal killed the process or the code is unknown.
	Code   int    `json:"code"`
	Signal string `json:"signal,omitempty"`
	Reason string `json:"reason"`
	// Detail is the end of the process's standard error.
	Detail string `json:"detail,omitempty"`
	// Permanent is true if no executor of this revision can be started as its progdef requires.
	Permanent bool `json:"permanent,omitempty"`
}

// An EdgeCount is what went over one edge.
type EdgeCount struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Sent and Received are the counts of the writer and the reader, or nil if unknown: a lost job reports no counts,
	// and a client's counts are known once it reports them.
	Sent     *Count `json:"sent,omitempty"`
	Received *Count `json:"received,omitempty"`
	// ClosedEarly is true when the reader stopped before the end; only then may Received be less than Sent in a
	// completed flow.
	ClosedEarly bool `json:"closedEarly,omitempty"`
	// Unread is the size in bytes of what is stored of an edge of a running flow and not read. Fill is the used part of
	// its window, in percent.
	Unread int64 `json:"unread,omitempty"`
	Fill   int   `json:"fill,omitempty"`
	// Waits is the end of an edge of a running flow that waits for the other one, "" if neither does.
	Waits Side `json:"waits,omitempty"`
}

// A Side is an end of an edge.
type Side string

// The ends of an edge. A writer waits while the window is full, a reader while there is nothing to read.
const (
	SideWriter Side = "writer"
	SideReader Side = "reader"
)

// FlowStalled reports that no record has moved on any edge of a flow for a while although jobs run, or that something
// moves again.
type FlowStalled struct {
	// Stalled is true at the beginning of a stall, and false at its end.
	Stalled bool `json:"stalled"`
	// Since is the time from which on nothing moved, as far as known.
	Since time.Time `json:"since"`
	// Records is the number of records that all readers together had read at the time of the event.
	Records int64 `json:"records"`
	// Blocking lists what the flow waits for: the running and unclaimed jobs, inputs ("inputs.name") and outputs that
	// nothing else keeps waiting. It is empty at the end of a stall, and if all wait for each other.
	Blocking []string `json:"blocking"`
	// Edges lists edges on which one end waits for the other one or something is unread, full ones first; at most
	// StalledEdges of them.
	Edges []EdgeCount `json:"edges"`
}

// WaitsFor says in a few words what a stalled flow waits for.
func (d *FlowStalled) WaitsFor() string {
	const named = 10
	switch n := len(d.Blocking); {
	case n == 0:
		return "each job waits for another one"
	case n > named:
		return fmt.Sprintf("waits for %s and %d more", strings.Join(d.Blocking[:named], ", "), n-named)
	}
	return "waits for " + strings.Join(d.Blocking, ", ")
}

// StalledEdges bounds FlowStalled.Edges and FlowStalled.Blocking.
const StalledEdges = 100

// FlowCompleted is the verdict on a flow whose jobs are all done.
type FlowCompleted struct {
	Duration document.Duration `json:"duration"`
	Jobs     int               `json:"jobs"`
	Edges    []EdgeCount       `json:"edges"`
}

// FlowPanic is the verdict on a flow that failed.
type FlowPanic struct {
	Duration document.Duration `json:"duration"`
	// Cause is the first failure, Others every further one in the order in which they were received.
	Cause  JobFailure            `json:"cause"`
	Others []JobFailure          `json:"others"`
	Jobs   map[string]JobSummary `json:"jobs"`
	Edges  []EdgeCount           `json:"edges"`
}

// A JobFailure is a failure and its job. Job is "" for a failure of the flow itself (its deadline).
type JobFailure struct {
	Job      string `json:"job,omitempty"`
	Progdef  string `json:"progdef,omitempty"`
	Executor string `json:"executor,omitempty"`
	Failure
}

// A JobSummary is the state of a job.
type JobSummary struct {
	State    JobState `json:"state"`
	Executor string   `json:"executor,omitempty"`
}

// A JobState is a job's stage of life.
type JobState string

// The states of a job.
const (
	JobWaiting  JobState = "waiting" // planned, not yet claimed
	JobRunning  JobState = "running"
	JobEnded    JobState = "done"
	JobStopped  JobState = "stopped"
	JobPanicked JobState = "panicked"
)

// FlowCancelled is the verdict on a flow that was cancelled.
type FlowCancelled struct {
	Duration document.Duration `json:"duration"`
	// By is the user who cancelled the flow, as proven by the NATS subject, or the source of the panic-aggregator; "" if
	// nothing proves it.
	By string `json:"by,omitempty"`
	// Source is the source of the flow.cancel, which its sender chose.
	Source string                `json:"source,omitempty"`
	Reason string                `json:"reason,omitempty"`
	Jobs   map[string]JobSummary `json:"jobs"`
	Edges  []EdgeCount           `json:"edges"`
}

// FlowCleaned reports that nothing of the flow is left on the broker.
type FlowCleaned struct {
	Stream    string   `json:"stream,omitempty"`
	Mailboxes []string `json:"mailboxes"`
	// Read is what a client reports to have read, by output.
	Read map[string]OutputCount `json:"read,omitempty"`
}

// A Release is the message on ReleaseSubject, which may also be empty: the client has read all that it needs of a
// flow's outputs.
type Release struct {
	Read map[string]OutputCount `json:"read,omitempty"`
}

// An OutputCount is what a client has read of an output.
type OutputCount struct {
	Count
	// ClosedEarly is true when the client stopped before the end.
	ClosedEarly bool `json:"closedEarly,omitempty"`
}

// DeadLetter reports a message whose sender could not be answered.
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

// A Capacity is what serves one revision now. AskExecutors is answered with one for each revision that has executors
// or jobs or is in the catalogue, of all progdefs or of the requested one.
type Capacity struct {
	Progdef  string `json:"progdef"`
	Revision string `json:"revision"`
	// Current is true for the revision that new flows use.
	Current bool `json:"current"`
	// Executors take jobs; Draining executors only finish their running jobs.
	Executors int `json:"executors"`
	Draining  int `json:"draining"`
	// Running counts the jobs that executors have claimed, Waiting the jobs that have a slot and are in the
	// mailbox.
	Running int `json:"running"`
	Waiting int `json:"waiting"`
	// Failed counts the consecutive executors that ended before they started a job. Reason describes how the last of
	// them ended, or why executors that were started cannot run yet; Detail is the end of its standard error.
	Failed int    `json:"failed,omitempty"`
	Reason string `json:"reason,omitempty"`
	Detail string `json:"detail,omitempty"`
	// Retry is the earliest time of the next start.
	Retry time.Time `json:"retry,omitzero"`
}

// UsersInUsage is how many users a Usage names at most.
const UsersInUsage = 1000

// A Usage is the answer to AskUsage: what the tenant and its users hold of their limits.
type Usage struct {
	// Executors counts the executors, the starting ones too; ExecutorLimit is how many there may be.
	Executors     int     `json:"executors"`
	ExecutorLimit int     `json:"executorLimit"`
	Tenant        Holding `json:"tenant"`
	TenantLimits  Quota   `json:"tenantLimits"`
	// Users are those who have flows that run or wait, by name: the first UsersInUsage of them. Omitted counts the others.
	// Flows whose user is not proven are of the user "".
	Users      []UserHolding `json:"users"`
	Omitted    int           `json:"omitted,omitempty"`
	UserLimits Quota         `json:"userLimits"`
}

// A Holding is what the flows of a tenant or user hold and wait for.
type Holding struct {
	// Flows run, Waiting flows wait.
	Flows   int `json:"flows"`
	Waiting int `json:"waiting"`
	// Slots are held by the flows, and fill so many Executors.
	Slots     int `json:"slots"`
	Executors int `json:"executors"`
}

// A UserHolding is the Holding of a user.
type UserHolding struct {
	User string `json:"user"`
	Holding
}

// A Quota limits a Holding. What is 0 is not limited.
type Quota struct {
	Flows     int `json:"flows,omitempty"`
	Waiting   int `json:"waiting,omitempty"`
	Slots     int `json:"slots,omitempty"`
	Executors int `json:"executors,omitempty"`
}

// A Tick informs a service of the broker's time, and that everything stored before is known: timeouts and deadlines
// are decided by this clock.
type Tick struct {
	// Service is the service that requested it.
	Service string `json:"service"`
}
