package gateway

import (
	"strings"
	"testing"

	"github.com/dagyo/dagyo/pkg/trace"
)

// show is a progdef that prints the trace of its job.
const show = `{"name": "show_trace", "command": ["dagyo", "exec", "--", "sh", "-c", "echo \"$TRACEPARENT $TRACESTATE\""],
 "outputs": {"out": "utf8-string"}, "scaling": {"jobsPerExecutor": 2, "maxExecutors": 1}}`

const shows = `{"nodes": {"show": {"progdef": "show_trace"}}, "outputs": {"out": "show.out"}}`

// The flows of a request belong to its trace. Without a valid one, each begins a trace.
func TestTraceOfARequest(t *testing.T) {
	do(t, "PUT", all.own+"/v1/progdefs/show_trace", show).is(t, 200)
	of := trace.Parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=1,b=2")
	body, contentType := form("flow", shows)
	for name, headers := range map[string][]string{
		"a trace": {"traceparent", of.Parent, "tracestate", "a=1", "tracestate", "b=2"},
		"invalid": {"traceparent", "00-garbage", "tracestate", "a=1"},
		"two":     {"traceparent", of.Parent, "traceparent", of.Parent, "tracestate", "a=1"},
		"none":    nil,
	} {
		got := do(t, "POST", all.own+"/v1/run", body, append(headers, "Content-Type", contentType)...)
		got.is(t, 200)
		id := got.Header.Get("Dagyo-Flow")
		parent, state, _ := strings.Cut(strings.TrimSuffix(got.body, "\n"), " ")
		c := trace.Parse(parent, state)
		switch {
		case name == "a trace" && c != of.Job(id, "show"):
			t.Errorf("%s: the job has %q; want %+v", name, got.body, of.Job(id, "show"))
		case name != "a trace" && (c.IsZero() || !c.Sampled() || c.State != "" || c.TraceID() == of.TraceID()):
			t.Errorf("%s: the job has %q", name, got.body)
		}
	}
}

// An event has its own trace, or that of its request.
func TestTraceOfAnEvent(t *testing.T) {
	do(t, "PUT", all.own+"/v1/progdefs/show_trace", show).is(t, 200)
	of := trace.Parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=1")
	other := trace.Parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "")
	for _, own := range []bool{true, false} {
		id := fresh("show")
		attributes, want := "", other
		if own {
			attributes, want = `"traceparent": "`+of.Parent+`", "tracestate": "`+of.State+`", `, of
		}
		do(t, "POST", all.own+"/v1/events", `{"specversion": "1.0", "id": "1`+id+`", "type": "flow.submit", "source": "/test", "subject": "`+id+`", `+attributes+
			`"datacontenttype": "application/json", "data": `+shows+`}`, "Content-Type", "application/cloudevents+json", "traceparent", other.Parent).is(t, 202)
		got := do(t, "GET", all.own+"/v1/flows/"+id+"/outputs/out", "")
		got.is(t, 200)
		if text := strings.TrimSpace(got.body); text != strings.TrimSpace(want.Job(id, "show").Parent+" "+want.State) {
			t.Errorf("the job has %q; want %+v", text, want.Job(id, "show"))
		}
	}
}
