package eventlog

import (
	"strings"

	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/contract"
)

// About returns the fields of a log line about an event: its flow and its trace, if it has them. The loggers of services add
// the tenant.
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
