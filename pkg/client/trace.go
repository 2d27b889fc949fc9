package client

import (
	"context"

	"github.com/dagyo/dagyo/pkg/trace"
)

// InTrace returns a context for Submit: the flow belongs to the trace in carrier, which has W3C's headers traceparent and
// tracestate. With OpenTelemetry:
//
//	carrier := propagation.MapCarrier{}
//	propagation.TraceContext{}.Inject(ctx, carrier)
//	seq, err := c.Submit(client.InTrace(ctx, carrier), flow, document)
//
// What is not a W3C trace context is ignored.
func InTrace(ctx context.Context, carrier map[string]string) context.Context {
	return trace.NewContext(ctx, trace.FromMap(carrier))
}

// traceOf returns the trace of a context, or begins one with the span of a flow.
func traceOf(ctx context.Context, flow string) trace.Context {
	if c := trace.FromContext(ctx); !c.IsZero() {
		return c
	}
	return trace.New(flow)
}
