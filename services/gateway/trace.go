package gateway

import (
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/dagyo/dagyo/pkg/trace"
)

// traced takes the trace of a request from its headers: flows that the request submits belong to it.
func traced(ctx huma.Context, next func(huma.Context)) {
	r, _ := humago.Unwrap(ctx)
	next(huma.WithContext(ctx, trace.NewContext(ctx.Context(), traceOf(r.Header))))
}

// traceOf returns the W3C trace context in headers. Several traceparents are none, several tracestates are one list.
func traceOf(h http.Header) trace.Context {
	parents := h.Values("traceparent")
	if len(parents) != 1 {
		return trace.Context{}
	}
	return trace.Parse(parents[0], strings.Join(h.Values("tracestate"), ","))
}
