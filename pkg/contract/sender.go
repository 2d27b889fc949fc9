package contract

import (
	"slices"
	"strings"
)

// A user or an executor publishes on a subject that ends in its own name: the plain subject of the event, the request or
// the heartbeat, and ".by.<name>". NATS permissions can restrict a connection to such subjects, so a name in a subject
// is proven where they do. An operator's commands on what belongs to others end in ".operator.<name>". A job.started ends
// in ".by.<mailbox>.<name>": only executors of the job's revision may start it, and no other can occupy its subject.
//
// The name is at the end so that the condition of job.started, a wildcard for all executors of one job, costs the broker
// the same however many executors there are.
const (
	byMark       = "by"
	operatorMark = "operator"
)

// A Sender is who published a message, according to its subject. The zero value is the sender of a message on a plain
// subject, which proves nothing.
type Sender struct {
	// Name is the name of a user or the id of an executor.
	Name string
	// Mailbox names the consumer of the executor's mailbox; it is set on a job.started only.
	Mailbox string
	// Operator is true if the sender acts as an operator.
	Operator bool
}

// On returns the subject on which the sender publishes what has the given plain subject.
func (s Sender) On(subject string) string {
	mark := byMark
	switch {
	case s.Name == "":
		return subject
	case s.Operator:
		mark = operatorMark
	case s.Mailbox != "":
		mark = byMark + "." + s.Mailbox
	}
	return subject + "." + mark + "." + s.Name
}

// FromAny matches what any named sender publishes on a subject.
func FromAny(subject string) string {
	if strings.HasPrefix(subject, startOfStarts) {
		return StartedBy(subject, "*", "*")
	}
	return Sender{Name: "*"}.On(subject)
}

const startOfStarts = string(TypeJobStarted) + "."

// StartedBy returns the subject on which an executor of a mailbox reports the start of a job; "*" stands for any.
func StartedBy(started, consumer, executor string) string {
	return Sender{Name: executor, Mailbox: consumer}.On(started)
}

// Foreign reports whether a sender is proven to be somebody else than the owner of a flow, and is no operator.
func (s Sender) Foreign(owner string) bool {
	return s.Name != "" && owner != "" && s.Name != owner && !s.Operator
}

// SplitSender splits the subject of an event or a heartbeat into the sender and the plain subject. It does not check
// the name.
func SplitSender(subject string) (Sender, string) {
	rest, name := cutLast(subject)
	var mailbox string
	if strings.HasPrefix(subject, startOfStarts) {
		rest, mailbox = cutLast(rest)
	}
	plain, mark := cutLast(rest)
	if mark != byMark && mark != operatorMark || strings.Count(plain, ".") != dots(subject) {
		return Sender{}, subject // also if a flow is named by
	}
	return Sender{Name: name, Mailbox: mailbox, Operator: mark == operatorMark}, plain
}

// Asker returns who asks a question, according to its subject.
func Asker(subject string) Sender {
	if plain := WithoutSender(subject); plain != subject {
		_, name := cutLast(subject)
		return Sender{Name: name}
	}
	return Sender{}
}

// WithoutSender returns the plain form of the subject of a stored frame, a stored credit or a question.
func WithoutSender(subject string) string {
	rest, _ := cutLast(subject)
	if plain, mark := cutLast(rest); mark == byMark {
		return plain
	}
	return subject
}

func cutLast(subject string) (rest, last string) {
	i := strings.LastIndexByte(subject, '.')
	return subject[:max(i, 0)], subject[i+1:]
}

// dots returns how many dots the plain subject of a message has, or -1 if no sender publishes such messages.
func dots(subject string) int {
	head, _, _ := strings.Cut(subject, ".")
	switch head {
	case "health", "client":
		return strings.Count(HealthSubjects, ".")
	case "release":
		return strings.Count(ReleaseSubjects, ".")
	}
	if entry, ok := Lookup(TypeOf(subject)); ok {
		return strings.Count(entry.Pattern(), ".")
	}
	return -1
}

// From reports whether such a sender may publish events of this type.
func (e Entry) From(s Sender) bool {
	switch {
	case s.Name == "":
		return true
	case s.Operator:
		return e.Type == TypeFlowCancel || e.Type == TypeDeadLetter
	case (s.Mailbox != "") != (e.Type == TypeJobStarted):
		return false
	}
	return slices.Contains(e.Publishers, "user") || slices.Contains(e.Publishers, "executor")
}

// Patterns are the NATS subjects on which EVENTS stores the event, with a wildcard for each variable token.
func (e Entry) Patterns() []string {
	out := []string{e.Pattern()}
	for _, s := range []Sender{{Name: "*"}, {Name: "*", Mailbox: "*"}, {Name: "*", Operator: true}} {
		if e.From(s) {
			out = append(out, s.On(e.Pattern()))
		}
	}
	return out
}

// ReportedBy returns the executor that an event names as its publisher, or "" for events of others. Executors publish
// only about their own jobs and themselves.
func (e Event) ReportedBy() string {
	switch d := e.Data.(type) {
	case *JobStarted:
		return d.Executor
	case *JobDone:
		return d.Executor
	case *JobPanic:
		return d.Executor
	case *ExecutorDraining:
		return d.Executor
	}
	return ""
}
