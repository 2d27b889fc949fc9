package simulation

import (
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
)

// An entry is a message of EVENTS.
type entry struct {
	*event.Stored
	data     []byte
	readable bool
}

// events simulates EVENTS. It keeps all events for the checks; readers get only those that are not trimmed.
type events struct {
	log   []*entry
	first uint64            // the first that is not trimmed
	last  map[string]uint64 // the last ever stored, by aggregate
	ids   map[string]time.Time
}

func newEvents() events {
	return events{first: 1, last: make(map[string]uint64), ids: make(map[string]time.Time)}
}

func (s *events) end() uint64 { return uint64(len(s.log)) }

// read returns a message, or nil if it is trimmed or not yet stored.
func (s *events) read(seq uint64) *entry {
	if seq < s.first || seq > s.end() {
		return nil
	}
	return s.log[seq-1]
}

// lastKept is the broker's last event of an aggregate, or 0 if all are trimmed.
func (s *events) lastKept(aggregate string) uint64 {
	if seq := s.last[aggregate]; seq >= s.first {
		return seq
	}
	return 0
}

// store stores a message at a time.
func (s *events) store(m *nats.Msg, now time.Time) *entry {
	e := &entry{Stored: event.NewStored(event.Place{Seq: s.end() + 1, At: now}, m.Subject), data: m.Data}
	e.Decode(m.Header, m.Data)
	if e.readable = len(e.Problems) == 0; e.readable && e.Type == contract.TypeFlowSubmit {
		e.Event.By = userOf(e.Event.Subject)
	}
	s.log = append(s.log, e)
	s.last[aggregate(m.Subject)] = e.Seq
	return e
}

// userOf returns the user who submits a flow.
func userOf(flow string) string {
	return []string{"anna", "bert"}[int(flow[len(flow)-1])%2]
}

// aggregate is the pattern of contract.Event.Aggregate that matches a subject.
func aggregate(subject string) string {
	if sender, plain := contract.SplitSender(subject); sender.Name != "" {
		return contract.Sender{Name: "*", Mailbox: sender.Mailbox}.On(plain)
	}
	area, rest, _ := strings.Cut(subject, ".")
	if _, name, long := strings.Cut(rest, "."); long && area != "job" {
		return area + ".*." + name
	}
	return subject
}

// dedupWindow is how long EVENTS keeps the message ids of users.
const dedupWindow = 2 * time.Minute

// repeated reports whether a message id was used recently, and records its use.
func (s *events) repeated(id string, now time.Time) bool {
	at, used := s.ids[id]
	if used && now.Before(at.Add(dedupWindow)) {
		return true
	}
	s.ids[id] = now
	return false
}

// skew is the error of publishers' clocks. Nothing may depend on it.
var skew = []time.Duration{0, -time.Hour, 24 * time.Hour, 3 * time.Second, -2 * time.Second}

// publish stores an event with the time of its publisher's clock.
func (w *world) publish(e contract.Event) *entry {
	e.Time = w.now.Add(skew[int(w.end())%len(skew)])
	if e.Source == "" {
		e.Source = "/user"
	}
	if e.ID == "" {
		e.ID = fmt.Sprintf("%s.%d", e.Type, w.end())
	}
	m, err := event.Encode(e)
	if err != nil {
		w.fatalf("the simulation published an event that cannot be encoded: %v", err)
	}
	stored := w.store(m, w.now)
	w.say("  stored %s", describe(stored))
	return stored
}

// publishFirst stores an event unless its subject, or that of another sender, has one.
func (w *world) publishFirst(e contract.Event) bool {
	if w.lastKept(aggregate(e.Sender().On(e.NATSSubject()))) > 0 {
		return false
	}
	w.publish(e)
	return true
}

func describe(e *entry) string {
	text := fmt.Sprintf("%d: %s", e.Seq, e.Subject)
	if e.Event.Subject != "" && !strings.Contains(e.Subject, e.Event.Subject) {
		text += " of " + e.Event.Subject
	}
	switch d := e.Event.Data.(type) {
	case *contract.FlowPanic:
		text += fmt.Sprintf(" (%s %s: %s)", d.Cause.Kind, d.Cause.Job, d.Cause.Message)
	case *contract.FlowRejected:
		text += fmt.Sprintf(" (%v)", d.Problems)
	case *contract.DeadLetter:
		text += fmt.Sprintf(" (of %d: %v)", d.Sequence, d.Problems)
	case *contract.JobStarted:
		text += " by " + d.Executor
	case *contract.JobDone:
		text += fmt.Sprintf(" by %s, stopped %t", d.Executor, d.Stopped)
	case *contract.JobPanic:
		text += " by " + d.Executor
	}
	if !e.readable {
		text += " (unreadable)"
	}
	return text
}
