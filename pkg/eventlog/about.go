package eventlog

import (
	"strings"

	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/contract"
)

// About returns the fields of a log line about an event: the flow and the trace, if it is about one. Loggers of services have
// that of the tenant.
func About(e contract.Event) zerolog.LogObjectMarshaler { return about(e) }

type about contract.Event

// MarshalZerologObject implements [zerolog.LogObjectMarshaler].
func (a about) MarshalZerologObject(line *zerolog.Event) {
	e := contract.Event(a)
	flow := e.Flow()
	if e.IsAct() && !e.Trace.IsZero() { // of a flow, or of one of its jobs
		flow, _, _ = strings.Cut(e.Subject, ".")
	}
	if flow != "" {
		line.Str("flow", flow)
	}
	if id := e.Trace.TraceID(); id != "" {
		line.Str("trace", id)
	}
}
