package monitor

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/propagation"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/dagyo/dagyo/pkg/trace"
)

func TestPushesTraces(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		push bool
		err  string
	}{
		{nil, false, ""},
		{map[string]string{envMetricsEndpoint: "http://collector:4318"}, false, ""},
		{map[string]string{envEndpoint: "http://collector:4318", envTracesExporter: "none", envProtocol: "grpc"}, false, ""},
		{map[string]string{envEndpoint: "http://collector:4318"}, true, ""},
		{map[string]string{envTracesEndpoint: "http://collector:4318/v1/traces", envTracesProtocol: protocol, envProtocol: "grpc"}, true, ""},
		{map[string]string{envTracesExporter: "otlp"}, true, ""},
		{map[string]string{envTracesExporter: "console"}, false, `OTEL_TRACES_EXPORTER is "console": it must be otlp, or none for no traces`},
		{map[string]string{envEndpoint: "http://collector:4317", envProtocol: "grpc"}, false,
			`OTEL_EXPORTER_OTLP_PROTOCOL is "grpc": it must be http/protobuf, which is the default`},
	} {
		push, err := PushesTraces(func(name string) string { return c.env[name] })
		if push != c.push || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%v: %v, %v", c.env, push, err)
		}
	}
}

// newTraces returns what exports spans to a collector, and its log.
func newTraces(t *testing.T, collector http.HandlerFunc) (*Traces, *bytes.Buffer) {
	t.Helper()
	server := httptest.NewServer(collector)
	t.Cleanup(server.Close)
	t.Setenv(envTracesEndpoint, server.URL+"/v1/traces")
	var log bytes.Buffer
	out, err := NewTraces(t.Context(), zerolog.New(&log))
	if err != nil {
		t.Fatal(err)
	}
	return out, &log
}

// spansOf returns n spans of a flow.
func spansOf(flow string, n int) (spans []trace.Span) {
	now, of := time.Unix(1, 0), trace.Of(trace.New(flow), flow)
	for range n {
		spans = append(spans, of.Root(now, now))
	}
	return spans
}

// Spans that a slow collector does not take in time are dropped: nothing waits for it.
func TestSpansAreBounded(t *testing.T) {
	answer := make(chan struct{})
	traces, log := newTraces(t, func(http.ResponseWriter, *http.Request) { <-answer })
	for range 2 {
		traces.Tracer().Export(spansOf("f", spansQueued/2))
	}
	traces.Tracer().Export(spansOf("g", 20))
	if n := traces.Dropped(); n != 20 {
		t.Errorf("%d spans are dropped", n)
	}
	close(answer)
	if err := traces.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "\n"); n != 2 || traces.Dropped() != 20 {
		t.Errorf("%d lines, %d spans dropped:\n%s", n, traces.Dropped(), log)
	}
}

// A collector that refuses spans is logged once.
func TestSpansAreRefused(t *testing.T) {
	traces, log := newTraces(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusBadRequest) })
	traces.Tracer().Export(spansOf("f", 2000))
	if err := traces.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if n := strings.Count(log.String(), "cannot send spans"); n != 1 || traces.Dropped() != 2000 {
		t.Errorf("%d lines, %d spans dropped:\n%s", n, traces.Dropped(), log)
	}
}

// Spans that are left when there is no more time are counted, too.
func TestSpansAreLeft(t *testing.T) {
	answer := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	traces, log := newTraces(t, func(http.ResponseWriter, *http.Request) { cancel(); <-answer })
	defer close(answer)
	traces.Tracer().Export(spansOf("f", 20))
	if err := traces.Close(ctx); err == nil || !strings.Contains(log.String(), `"spans":20,"message":"spans were dropped"`) {
		t.Errorf("%v: %s", err, log)
	}
}

// OpenTelemetry reads the contexts that programs get, and clients read those of OpenTelemetry.
func TestContextsOfOpenTelemetry(t *testing.T) {
	c := trace.Parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "a=1")
	ctx := propagation.TraceContext{}.Extract(t.Context(), propagation.MapCarrier(c.Map()))
	if of := oteltrace.SpanContextFromContext(ctx); of.TraceID().String() != c.TraceID() || of.SpanID().String() != c.SpanID() || !of.IsSampled() {
		t.Errorf("%+v", of)
	}
	back := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, back)
	if got := trace.FromMap(back); got != c {
		t.Errorf("%+v; want %+v", got, c)
	}
}

// Without a collector there are no spans.
func TestNoTraces(t *testing.T) {
	var none *Traces
	if none.Tracer().On() || none.Close(t.Context()) != nil {
		t.Error("a nil Traces exports")
	}
	none.Tracer().Export(spansOf("f", 1))
}

// What a flow costs its service, with 10 jobs.
func BenchmarkExport(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	b.Setenv(envTracesEndpoint, server.URL+"/v1/traces")
	traces, err := NewTraces(b.Context(), zerolog.Nop())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		traces.Tracer().OfTenant("default").Export(spansOf("f", 15))
	}
	_ = traces.Close(b.Context())
}
