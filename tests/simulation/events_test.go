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

// events is EVENTS. It remembers all that was ever stored, for the checks; readers get what is kept.
type events struct {
	log   []*entry
	first uint64            // the first that is kept
	last  map[string]uint64 // the last ever stored, by aggregate
	ids   map[string]time.Time
}

func newEvents() events {
	return events{first: 1, last: make(map[string]uint64), ids: make(map[string]time.Time)}
}

func (s *events) end() uint64 { return uint64(len(s.log)) }

// read returns a message, nil for one that is trimmed or not stored yet.
func (s *events) read(seq uint64) *entry {
	if seq < s.first || seq > s.end() {
		return nil
	}
	return s.log[seq-1]
}

// lastKept is what the broker says of an aggregate: 0 where nothing is kept.
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
	e.readable = len(e.Problems) == 0
	s.log = append(s.log, e)
	s.last[aggregate(m.Subject)] = e.Seq
	return e
}

// aggregate is the pattern of contract.Event.Aggregate that matches a subject.
func aggregate(subject string) string {
	area, rest, _ := strings.Cut(subject, ".")
	if _, name, long := strings.Cut(rest, "."); long && area != "job" {
		return area + ".*." + name
	}
	return subject
}

// dedupWindow is how long EVENTS remembers the message ids of users.
const dedupWindow = 2 * time.Minute

// repeated reports whether a message id was used a moment ago, and notes that it is used now.
func (s *events) repeated(id string, now time.Time) bool {
	at, used := s.ids[id]
	if used && now.Before(at.Add(dedupWindow)) {
		return true
	}
	s.ids[id] = now
	return false
}

// skew is what the clocks of publishers are off. Nothing may depend on it.
var skew = []time.Duration{0, -time.Hour, 24 * time.Hour, 3 * time.Second, -2 * time.Second}

// publish stores an event that its publisher's clock dates.
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
		w.fatalf("the simulation publishes what cannot be encoded: %v", err)
	}
	stored := w.store(m, w.now)
	w.say("  stored %s", describe(stored))
	return stored
}

// publishFirst stores an event unless one is kept on its subject.
func (w *world) publishFirst(e contract.Event) bool {
	if w.lastKept(e.NATSSubject()) > 0 {
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
