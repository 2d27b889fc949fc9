package contract

import (
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/trace"
)

// A Type is a CloudEvents type, the beginning of the NATS subject and the name of the schema file.
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
	TypeFlowStalled      Type = "flow.stalled"
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
	TypeWebhookApply     Type = "webhook.apply"
	TypeWebhookRemove    Type = "webhook.remove"
	TypeWebhookRotate    Type = "webhook.rotate"
	TypeWebhookTest      Type = "webhook.test"
	TypeWebhookApplied   Type = "webhook.applied"
	TypeWebhookRejected  Type = "webhook.rejected"
	TypeWebhookRemoved   Type = "webhook.removed"
	TypeWebhookRotated   Type = "webhook.rotated"
	TypeWebhookTested    Type = "webhook.tested"
	TypeWebhookDisabled  Type = "webhook.disabled"
	TypeDeadLetter       Type = "deadletter"
	TypeTick             Type = "tick"
)

// An Event is one CloudEvent with its payload decoded.
type Event struct {
	ID     string
	Type   Type
	Source string
	// By is the user or executor that published the event, according to its NATS subject, and Operator is true if it
	// acts as an operator. By is "" for an event on a plain subject: it is not known who published it. Mailbox names the
	// consumer of the executor's mailbox; it is set on a job.started with By only.
	By, Mailbox string
	Operator    bool
	// Subject is the CloudEvents subject: the flow id, progdef name or executor id.
	Subject string
	Time    time.Time
	// Trace is the W3C trace context. Services copy it from cause to effect: it is that of the submission. Events of
	// executors about a job have that of the job's span.
	Trace trace.Context
	// Data is a pointer to the payload type in Table; it is nil if Problems prevented decoding.
	Data any
	// Raw is the payload as sent; it is set on received events only.
	Raw []byte
	// Problems are the faults of an event sent by a user.
	Problems problem.List
	// Seq is the event's place in EVENTS, or 0 if it is not stored.
	Seq uint64
	// Cause is the place in EVENTS of the command that the event answers, or 0 if it answers none.
	Cause uint64
	// With is what performing the event needs in addition to its payload. It is never published.
	With any
	// Opens asks the broker to reject the event unless it is the first about its subject, not counting rejections. It
	// is only used for sending.
	Opens bool
}

// Sender returns who published the event.
func (e Event) Sender() Sender { return Sender{e.By, e.Mailbox, e.Operator} }

// From reports whether a job.started may be from an executor of a revision, as far as its subject proves that.
func (e Event) From(progdef, revision string) bool {
	return e.By == "" || e.Mailbox == MailboxConsumer(progdef, revision)
}

// Flow returns the id of the flow that the event is about, or "" if it is not about a flow.
func (e Event) Flow() string {
	if entry, ok := Lookup(e.Type); ok && entry.Of == OfFlow || ok && entry.Of == OfJob {
		return e.Subject
	}
	return ""
}

// Aggregate is the subject, with wildcards, that matches every event about the same thing as this one: everything that
// services publish about one flow, one executor, one progdef, one type or one webhook. An event is published on the condition that
// nothing was published there since the state on which it was decided. It is "" for what is published
// unconditionally: dead letters, which every service publishes, and acts.
func (e Event) Aggregate() string {
	entry, ok := Lookup(e.Type)
	switch {
	case !ok, entry.Of == OfMessage:
		return ""
	case entry.Of == OfJob:
		return e.NATSSubject()
	}
	area, _, _ := strings.Cut(string(e.Type), ".")
	return strings.Join(append([]string{area, "*"}, e.Tokens()...), ".")
}

// IsAct reports whether the event is an act of a service: an effect that is performed, and not published.
func (e Event) IsAct() bool {
	_, published := Lookup(e.Type)
	return !published
}

// FlowOrExecutor returns the aggregate of the flow or executor in a message's subject, or "" for any other message.
// ends is true if the event is usually the last of an aggregate.
func FlowOrExecutor(subject string) (aggregate string, ends bool) {
	if sender, _ := SplitSender(subject); sender.Name != "" {
		return "", false // not published by a service
	}
	area, rest, _ := strings.Cut(subject, ".")
	verb, name, named := strings.Cut(rest, ".")
	if !named || area != "flow" && area != "executor" {
		return "", false
	}
	return area + ".*." + name, verb == "cleaned" || verb == "exited" || verb == "rejected"
}

// NewTick returns the event from which a service learns the broker's time.
func NewTick(service string) Event {
	return Event{Type: TypeTick, Subject: service, Data: &Tick{Service: service}}
}

// NewDeadLetter returns the dead letter of the message at a place of EVENTS. The service's worker adds what it
// repeats of the message.
func NewDeadLetter(subject string, seq uint64, problems problem.List) Event {
	return Event{
		Type: TypeDeadLetter, Subject: "deadletter", Cause: seq,
		Data: &DeadLetter{Subject: subject, Sequence: seq, Problems: problems},
	}
}

// excerptLimit bounds what a dead letter repeats of its message, in bytes.
const excerptLimit = 512

// Excerpt returns the beginning of a message as valid UTF-8.
func Excerpt(data []byte) string { return string([]rune(string(data[:min(len(data), excerptLimit)]))) }
