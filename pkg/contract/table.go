package contract

import "strings"

// Of is what an event is about; it determines the tokens after the beginning of the subject.
type Of int

// What events are about.
const (
	OfFlow     Of = iota // CloudEvents subject is the flow id
	OfJob                // the flow id; the NATS subject ends in <flow>.<job>
	OfExecutor           // the executor id; the NATS subject ends in <progdef>.<executor>
	OfProgdef            // the progdef name
	OfType               // the name chosen by the sender of type.apply
	OfWebhook            // the webhook's name
	OfMessage            // a message that could not be read
)

// An Entry describes one type of event.
type Entry struct {
	Type Type
	Of   Of
	// Command is true for events sent by users: their NATS subject is the bare type.
	Command bool
	// Publishers lists who publishes it: "user", "executor" or services.
	Publishers []string
	// New returns a pointer to an empty payload.
	New func() any
	// Doc is one sentence for docs/events.md.
	Doc string
}

// Table lists every event, in the order of a flow's life.
var Table = []Entry{
	{TypeFlowSubmit, OfFlow, true, []string{"user"}, payload[FlowSubmit], "Runs the flow document in its data."},
	{TypeFlowCancel, OfFlow, true, []string{"user"}, payload[FlowCancel], "Cancels a flow."},
	{TypeFlowRejected, OfFlow, false, []string{"validator", "planner", "spawner"}, payload[FlowRejected], "The flow will not run; lists all problems."},
	{TypeFlowValidated, OfFlow, false, []string{"validator"}, payload[FlowValidated], "The flow is valid: its normal form, pinned revisions and the type of every edge."},
	{TypeFlowPlanned, OfFlow, false, []string{"planner"}, payload[FlowPlanned], "The flow's edges are ready; lists its jobs and their addresses."},
	{TypeFlowQueued, OfFlow, false, []string{"spawner"}, payload[FlowQueued], "The flow is waiting for capacity: its place in the queue, and what is missing."},
	{TypeFlowSpawned, OfFlow, false, []string{"spawner"}, payload[FlowSpawned], "The flow has its capacity, and its jobs are on their mailboxes."},
	{TypeJobStarted, OfJob, false, []string{"executor"}, payload[JobStarted], "An executor has claimed the job; published at most once per job."},
	{TypeJobDone, OfJob, false, []string{"executor"}, payload[JobDone], "The job ended without a failure: records and bytes per port."},
	{TypeJobPanic, OfJob, false, []string{"executor"}, payload[JobPanic], "The job failed: kind, message, port and record."},
	{TypeFlowStalled, OfFlow, false, []string{"panic-aggregator"}, payload[FlowStalled], "No record has moved in the flow for a while although jobs run, or records move again: who waits for whom."},
	{TypeFlowCompleted, OfFlow, false, []string{"panic-aggregator"}, payload[FlowCompleted], "Verdict: every job is done; the records and bytes of each edge."},
	{TypeFlowPanic, OfFlow, false, []string{"panic-aggregator"}, payload[FlowPanic], "Verdict: the flow failed; the first cause, then all other failures."},
	{TypeFlowCancelled, OfFlow, false, []string{"panic-aggregator"}, payload[FlowCancelled], "Verdict: a user cancelled the flow, or a client that it depends on disappeared."},
	{TypeFlowCleaned, OfFlow, false, []string{"planner"}, payload[FlowCleaned], "Everything that the broker stored for the flow has been deleted."},
	{TypeExecutorStarted, OfExecutor, false, []string{"spawner"}, payload[ExecutorStarted], "An executor process was started."},
	{TypeExecutorDraining, OfExecutor, false, []string{"spawner", "executor"}, payload[ExecutorDraining], "The executor takes no more jobs and finishes its running ones."},
	{TypeExecutorExited, OfExecutor, false, []string{"spawner"}, payload[ExecutorExited], "The executor process has exited: exit code, reason, last lines of standard error."},
	{TypeProgdefApply, OfProgdef, true, []string{"user"}, payload[ProgdefApply], "Adds the progdef document in its data to the catalogue."},
	{TypeProgdefRemove, OfProgdef, true, []string{"user"}, payload[ProgdefRemove], "Removes a progdef from the catalogue; running flows keep it."},
	{TypeProgdefApplied, OfProgdef, false, []string{"validator"}, payload[ProgdefApplied], "The progdef is in the catalogue under this revision."},
	{TypeProgdefRejected, OfProgdef, false, []string{"validator"}, payload[ProgdefRejected], "The progdef was rejected; lists all problems."},
	{TypeProgdefRemoved, OfProgdef, false, []string{"validator"}, payload[ProgdefRemoved], "The progdef is no longer in the catalogue."},
	{TypeTypeApply, OfType, true, []string{"user"}, payload[TypeApply], "Adds the documentation of a type in its data to the type catalogue."},
	{TypeTypeApplied, OfType, false, []string{"validator"}, payload[TypeApplied], "The documentation of the type is in the type catalogue."},
	{TypeTypeRejected, OfType, false, []string{"validator"}, payload[TypeRejected], "The documentation was rejected; lists all problems."},
	{TypeWebhookApply, OfWebhook, true, []string{"user"}, payload[WebhookApply], "Adds or changes the webhook in its data: where verdicts are sent."},
	{TypeWebhookRemove, OfWebhook, true, []string{"user"}, payload[WebhookRemove], "Removes a webhook; what is still to be delivered is not."},
	{TypeWebhookRotate, OfWebhook, true, []string{"user"}, payload[WebhookRotate], "Gives a webhook a new key; the previous one is used beside it for a week."},
	{TypeWebhookTest, OfWebhook, true, []string{"user"}, payload[WebhookTest], "Sends a test to the receiver of a webhook."},
	{TypeWebhookApplied, OfWebhook, false, []string{"panic-aggregator"}, payload[WebhookApplied], "Verdicts from here on are sent to the webhook."},
	{TypeWebhookRejected, OfWebhook, false, []string{"panic-aggregator"}, payload[WebhookRejected], "A command about a webhook was rejected; lists all problems."},
	{TypeWebhookRemoved, OfWebhook, false, []string{"panic-aggregator"}, payload[WebhookRemoved], "The webhook is removed."},
	{TypeWebhookRotated, OfWebhook, false, []string{"panic-aggregator"}, payload[WebhookRotated], "The webhook has this new key."},
	{TypeWebhookTested, OfWebhook, false, []string{"panic-aggregator"}, payload[WebhookTested], "How the receiver of a webhook answered a test."},
	{TypeWebhookDisabled, OfWebhook, false, []string{"panic-aggregator"}, payload[WebhookDisabled], "The webhook is switched off, since its receiver answered that it is gone; apply it again to switch it on."},
	{TypeDeadLetter, OfMessage, false, []string{"validator", "planner", "spawner", "panic-aggregator"}, payload[DeadLetter], "A message that could not be processed, and whose sender could not be answered."},
	{TypeTick, OfMessage, false, []string{"validator", "planner", "spawner", "panic-aggregator"}, payload[Tick], "The broker's time, requested by a service that has a decision due."},
}

// MayRefer reports whether the data of the event may be in the object store instead of the event (dataref): documents of
// users, and what services derive from them. All other events are small.
func (e Entry) MayRefer() bool {
	switch {
	case e.Type == "", e.Of == OfWebhook:
		return false
	case e.Command:
		return e.Type != TypeFlowCancel && e.Type != TypeProgdefRemove
	}
	return e.Of == OfFlow || e.Of == OfProgdef || e.Of == OfType
}

func payload[T any]() any { return new(T) }

var byType = func() map[Type]Entry {
	out := make(map[Type]Entry, len(Table))
	for _, e := range Table {
		out[e.Type] = e
	}
	return out
}()

// Lookup returns the table's entry for a type.
func Lookup(t Type) (Entry, bool) {
	e, ok := byType[t]
	return e, ok
}

// TypeOf returns the type of the events on a NATS subject, based only on the beginning of the subject.
func TypeOf(subject string) Type {
	area, rest, _ := strings.Cut(subject, ".")
	if rest == "" || area == string(TypeDeadLetter) {
		return Type(area)
	}
	verb, _, _ := strings.Cut(rest, ".")
	return Type(subject[:len(area)+1+len(verb)])
}

// Pattern is the NATS subject of the event with a wildcard for each variable token.
func (e Entry) Pattern() string {
	switch {
	case e.Command || e.Of == OfMessage:
		return string(e.Type)
	case e.Of == OfJob, e.Of == OfExecutor:
		return string(e.Type) + ".*.*"
	default:
		return string(e.Type) + ".*"
	}
}

// NATSSubject returns the plain subject of the event. Every variable token must be a valid name; package event checks
// that before anything is sent.
func (e Event) NATSSubject() string {
	return strings.Join(append([]string{string(e.Type)}, e.Tokens()...), ".")
}

// Tokens returns the variable tokens of the event's subject.
func (e Event) Tokens() []string {
	entry, ok := Lookup(e.Type)
	if !ok || entry.Command || entry.Of == OfMessage {
		return nil
	}
	switch d := e.Data.(type) {
	case *JobStarted:
		return []string{e.Subject, d.Job}
	case *JobDone:
		return []string{e.Subject, d.Job}
	case *JobPanic:
		return []string{e.Subject, d.Job}
	case *ExecutorStarted:
		return []string{d.Progdef, e.Subject}
	case *ExecutorDraining:
		return []string{d.Progdef, e.Subject}
	case *ExecutorExited:
		return []string{d.Progdef, e.Subject}
	default:
		return []string{e.Subject}
	}
}

// Services publish events about flows on a subject that only EVENTS receives: this prefix and the event's own subject.
// If EVENTS accepts the event, it stores it under the event's own subject, and republishes it there. So plain
// subscribers receive only what is stored: of two verdicts, the one that counts.
const ingress = "events."

// IngressSubject is the subject on which the event is published so that EVENTS stores it.
func (e Event) IngressSubject() string {
	if entry, ok := Lookup(e.Type); ok && entry.republished() {
		return ingress + e.NATSSubject()
	}
	return e.NATSSubject()
}

// republished reports whether subscribers receive the event only after it is stored.
func (e Entry) republished() bool { return e.Of == OfFlow && !e.Command }

// Ingressed is the subject, or pattern, on which events with a subject are published so that EVENTS stores them.
func Ingressed(subject string) string {
	if e, ok := Lookup(TypeOf(subject)); ok && e.republished() {
		return ingress + subject
	}
	return subject
}

// Ingress and Republish are the transforms of EVENTS, from one subject to another.
func Ingress() (from, to string) { return ingress + ">", ">" }

// Republish is how EVENTS republishes the events of services about flows.
func Republish() (from, to string) {
	return "flow.*.*", "flow.{{wildcard(1)}}.{{wildcard(2)}}"
}

// EventSubjects lists the subjects of the EVENTS stream.
func EventSubjects() []string {
	out := []string{ingress + ">"}
	for _, e := range Table {
		if !e.republished() {
			out = append(out, e.Patterns()...)
		}
	}
	return out
}

// IsVerdict reports whether the type ends a flow that was once valid.
func IsVerdict(t Type) bool {
	return t == TypeFlowCompleted || t == TypeFlowPanic || t == TypeFlowCancelled
}

// EndsFlow reports whether the event ends a valid flow: a verdict, or a rejection by the planner or the spawner.
// The validator's rejections are about submissions that never became a flow.
func (e Event) EndsFlow() bool {
	return IsVerdict(e.Type) || e.Type == TypeFlowRejected && e.Source != Source("validator")
}

// Source is the CloudEvents source of a service's events.
func Source(service string) string { return "/dagyo/" + service }
