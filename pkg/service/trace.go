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
	// replaced when its lease has expired. mostRecent bounds the events with spans that are kept.
	recentFor  = 10 * time.Second
	mostRecent = 4096
)

// A traced is the spans that ended with an event.
type traced struct {
	at    time.Time
	spans []trace.Span
}

// trace exports the spans that end with a message if this replica leads, so that each is exported once. Another replica keeps
// them for a moment. It must be called in a step, before the message is folded.
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
		r.recent = append(r.recent, traced{m.At, spans})
		for len(r.recent) > mostRecent || m.At.Sub(r.recent[0].at) > recentFor {
			r.recent = r.recent[1:]
		}
	}
}

// traceRest exports, at the beginning of a term, what a leader that has crashed may not have sent. What it has sent is sent
// twice: it has the same ids. It must be called in a step.
func (r *Runtime[S]) traceRest(c *core.Core[S], lease *broker.Lease) {
	if renewed, lapsed := lease.Lapsed(c.Now); lapsed {
		for _, t := range r.recent {
			if t.at.After(renewed.Add(-flushed)) {
				r.config.Traces.Export(t.spans)
			}
		}
	}
	r.recent = nil
}
