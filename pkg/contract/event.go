package contract

import (
	"time"

	"github.com/dagyo/dagyo/pkg/problem"
)

// A Type is a CloudEvents type, the head of the NATS subject and the name of the schema file.
type Type string

// The events on the EVENTS stream.
const (
	TypeFlowSubmit       Type = "flow.submit"
	TypeFlowCancel       Type = "flow.cancel"
	TypeFlowRejected     Type = "flow.rejected"
	TypeFlowValidated    Type = "flow.validated"
	TypeFlowPlanned      Type = "flow.planned"
	TypeFlowQueued       Type = "flow.queued"
	TypeFlowSpawned      Type = "flow.spawned"
	TypeFlowCompleted    Type = "flow.completed"
	TypeFlowPanic        Type = "flow.panic"
	TypeFlowCancelled    Type = "flow.cancelled"
	TypeFlowCleaned      Type = "flow.cleaned"
	TypeJobStarted       Type = "job.started"
	TypeJobDone          Type = "job.done"
	TypeJobPanic         Type = "job.panic"
	TypeExecutorStarted  Type = "executor.started"
	TypeExecutorDraining Type = "executor.draining"
	TypeExecutorExited   Type = "executor.exited"
	TypeProgdefApply     Type = "progdef.apply"
	TypeProgdefRemove    Type = "progdef.remove"
	TypeProgdefApplied   Type = "progdef.applied"
	TypeProgdefRejected  Type = "progdef.rejected"
	TypeProgdefRemoved   Type = "progdef.removed"
	TypeTypeApply        Type = "type.apply"
	TypeTypeApplied      Type = "type.applied"
	TypeTypeRejected     Type = "type.rejected"
	TypeDeadLetter       Type = "deadletter"
)

// An Event is one CloudEvent with its payload decoded.
type Event struct {
	ID     string
	Type   Type
	Source string
	// Subject is the CloudEvents subject: the flow id, progdef name or executor id.
	Subject string
	Time    time.Time
	// TraceParent is the W3C trace context, copied from cause to effect.
	TraceParent string
	// Data is a pointer to the payload type that Table names, nil where Problems prevented it.
	Data any
	// Raw is the payload as it was sent; set on received events only.
	Raw []byte
	// Problems is what is wrong with an event that a user sent.
	Problems problem.List
	// Seq is the event's place in EVENTS, 0 for one that has not been stored.
	Seq uint64
	// With is what performing the event needs beyond its payload. It is never published.
	With any
	// Once asks the broker to refuse the event when its subject already holds one. Only for sending.
	Once bool
	// MsgID de-duplicates the publication; "" stands for the NATS subject.
	MsgID string
}

// Flow returns the id of the flow that the event is about, "" when it is about no flow.
func (e Event) Flow() string {
	if entry, ok := Lookup(e.Type); ok && entry.Of == OfFlow || ok && entry.Of == OfJob {
		return e.Subject
	}
	return ""
}
