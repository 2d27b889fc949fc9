package monitor

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/dagyo/dagyo/pkg/trace"
)

// start starts a span with its own ids.
func (t *Traces) start(s trace.Span) oteltrace.Span {
	ctx := context.WithValue(context.Background(), givenIDs{}, s)
	if s.Parent != "" {
		ctx = oteltrace.ContextWithSpanContext(ctx, parentOf(s))
	}
	options := []oteltrace.SpanStartOption{oteltrace.WithTimestamp(s.Start)}
	for _, a := range s.Attributes {
		if a[1] != "" {
			options = append(options, oteltrace.WithAttributes(attribute.String(a[0], a[1])))
		}
	}
	_, span := t.tracer.Start(ctx, s.Name, options...)
	if s.Error != "" {
		span.SetStatus(codes.Error, s.Error)
	}
	return span
}

// parentOf returns the context of a span's parent.
func parentOf(s trace.Span) oteltrace.SpanContext {
	id, _ := oteltrace.SpanIDFromHex(s.Parent)
	state, _ := oteltrace.ParseTraceState(s.State)
	return oteltrace.NewSpanContext(oteltrace.SpanContextConfig{
		TraceID: traceOf(s), SpanID: id, TraceFlags: oteltrace.FlagsSampled, TraceState: state, Remote: s.Remote,
	})
}

func traceOf(s trace.Span) oteltrace.TraceID {
	id, _ := oteltrace.TraceIDFromHex(s.TraceID())
	return id
}

// givenIDs gives spans the ids that are derived for them, which are in the context.
type givenIDs struct{}

// NewIDs implements the IDGenerator of OpenTelemetry, for a span without a parent.
func (g givenIDs) NewIDs(ctx context.Context) (oteltrace.TraceID, oteltrace.SpanID) {
	s, _ := ctx.Value(givenIDs{}).(trace.Span)
	return traceOf(s), g.NewSpanID(ctx, traceOf(s))
}

// NewSpanID implements the IDGenerator of OpenTelemetry, for a span with a parent.
func (givenIDs) NewSpanID(ctx context.Context, _ oteltrace.TraceID) oteltrace.SpanID {
	s, _ := ctx.Value(givenIDs{}).(trace.Span)
	id, _ := oteltrace.SpanIDFromHex(s.SpanID())
	return id
}
