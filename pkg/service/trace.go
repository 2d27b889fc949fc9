package service

import "github.com/dagyo/dagyo/pkg/event"

// trace exports the spans that end with a message, under the conditions of count: so each is exported once. It must be
// called in a step, before the message is folded.
func (r *Runtime[S]) trace(m *event.Stored) {
	if r.service.Trace == nil || !r.config.Traces.On() || len(m.Problems) > 0 || !r.leads() {
		return
	}
	e := m.Event
	e.Time = m.At
	r.config.Traces.Export(r.service.Trace(r.core.State, e))
}
