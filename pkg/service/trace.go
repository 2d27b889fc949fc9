package service

import (
	"time"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/service/core"
	"github.com/dagyo/dagyo/pkg/trace"
)

const (
	// flushed is how long a leader may take to send spans to the collector.
	flushed = 2 * time.Second
	// recentFor is how long a replica that does not lead keeps spans: the leader may crash before it has sent them, and is
	// replaced when its lease has expired. mostRecent bounds the spans that are kept.
	recentFor  = 10 * time.Second
	mostRecent = 16384
)

// A recent is the spans of the last events, the oldest first.
type recent struct {
	events []traced
	spans  int
}

// A traced is the spans that ended with an event.
type traced struct {
	at    time.Time
	spans []trace.Span
}

// add adds the spans of an event, and forgets what is too old or too much.
func (k *recent) add(t traced) {
	k.events = append(k.events, t)
	k.spans += len(t.spans)
	for len(k.events) > 0 && (k.spans > mostRecent || t.at.Sub(k.events[0].at) > recentFor) {
		k.spans -= len(k.events[0].spans)
		k.events[0] = traced{}
		k.events = k.events[1:]
	}
}

// trace exports the spans that end with a message if this replica leads, so that each is exported once. Another replica keeps
// them for a moment.
func (r *Runtime[S]) trace(m *event.Stored) {
	if r.service.Trace == nil || !r.config.Traces.On() || len(m.Problems) > 0 {
		return
	}
	e := m.Event
	e.Time = m.At
	spans := r.service.Trace(r.core.State, e)
	switch {
	case r.leads():
		r.config.Traces.Export(spans)
	case len(spans) > 0:
		r.recent.add(traced{m.At, spans})
	}
}

// traceRest exports, at the beginning of a term, what a leader that has crashed may not have sent. What it has sent is sent
// twice: it has the same ids. It must be called in a step.
func (r *Runtime[S]) traceRest(c *core.Core[S], lease *broker.Lease) {
	if renewed, lapsed := lease.Lapsed(c.Now); lapsed {
		for _, t := range r.recent.events {
			if t.at.After(renewed.Add(-flushed)) {
				r.config.Traces.Export(t.spans)
			}
		}
	}
	r.recent = recent{}
}
