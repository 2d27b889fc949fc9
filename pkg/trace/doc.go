// Package trace describes the trace of a flow (docs/traces.md): one span for the flow, one for each of its phases, and one
// for each job. It parses and derives W3C trace contexts, and has the interface of what exports spans. It has no
// dependencies: OpenTelemetry is in services/dagyo/monitor only, so that executors and clients do not contain it.
//
// The ids of spans are derived from the trace, the flow and what the span is about. So everyone who knows the context of a
// submission knows the ids of all spans, and a span that is exported twice is the same span.
package trace
