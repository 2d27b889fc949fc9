package gateway

import (
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/dagyo/dagyo/pkg/metrics"
)

// count counts a request and its time. The label of the route is the pattern of the operation, never the path.
func (g *Gateway) count(ctx huma.Context, next func(huma.Context)) {
	o, began, status := ctx.Operation(), time.Now(), "aborted"
	if isStream(o) {
		g.streams.Add(1)
		defer g.streams.Add(-1)
	}
	defer func() { // also if the handler panics, as it does to abort an answer
		route := o.Method + " " + o.Path
		g.config.Metrics.Add(metrics.HTTPRequests, route, status)
		g.config.Metrics.Record(metrics.HTTPSeconds, time.Since(began).Seconds(), route)
	}()
	next(ctx)
	status = classOf(ctx.Status())
}

// classOf returns the class of a status, such as 2xx. Streams that have begun set none.
func classOf(status int) string {
	if status == 0 {
		return "2xx"
	}
	return strconv.Itoa(status/100) + "xx"
}

// isStream reports whether an operation lasts as long as a flow.
func isStream(o *huma.Operation) bool {
	return slices.Contains(o.Tags, "streams") || o.OperationID == followOperation || o.OperationID == logsOperation
}

// measure observes the connections and streams.
func (g *Gateway) measure(observe metrics.Observe) {
	observe(metrics.HTTPSessions, float64(g.sessions.open()))
	observe(metrics.HTTPStreams, float64(g.streams.Load()))
}
