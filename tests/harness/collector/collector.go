// Package collector receives traces by OTLP over HTTP, as an OpenTelemetry collector does.
package collector

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	otlp "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	v1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A Collector is a running receiver.
type Collector struct {
	mu    sync.Mutex
	spans []Span
	more  chan struct{}
}

// A Span is what was received of one.
type Span struct {
	// Service is the name of the service in its resource.
	Service string
	// Trace, ID and Parent are hexadecimal.
	Trace, ID, Parent, State string
	Name                     string
	Start, End               time.Time
	Attributes               map[string]string
	// Error is the text of the status if that is an error.
	Error string
}

// Start starts a receiver for the duration of the test, and lets the variables of OpenTelemetry name it.
func Start(t *testing.T) *Collector {
	t.Helper()
	c := &Collector{more: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(c.serve))
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", server.URL+"/v1/traces")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
	return c
}

func (c *Collector) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	request := new(otlp.ExportTraceServiceRequest)
	if err == nil {
		err = proto.Unmarshal(body, request)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, of := range request.ResourceSpans {
		service := attributes(of.Resource.GetAttributes())["service.name"]
		for _, scope := range of.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, received(service, s))
			}
		}
	}
	close(c.more)
	c.more = make(chan struct{})
}

func received(service string, s *v1.Span) Span {
	out := Span{
		Service: service, Trace: hex.EncodeToString(s.TraceId), ID: hex.EncodeToString(s.SpanId), Parent: hex.EncodeToString(s.ParentSpanId),
		State: s.TraceState, Name: s.Name, Attributes: attributes(s.Attributes),
		Start: time.Unix(0, int64(s.StartTimeUnixNano)), End: time.Unix(0, int64(s.EndTimeUnixNano)),
	}
	if s.Status.GetCode() == v1.Status_STATUS_CODE_ERROR {
		out.Error = s.Status.Message
	}
	return out
}

func attributes(all []*common.KeyValue) map[string]string {
	out := make(map[string]string)
	for _, a := range all {
		out[a.Key] = a.Value.GetStringValue()
	}
	return out
}

// Of returns the spans of a flow, in the order of their starts. It waits until there are n of them.
func (c *Collector) Of(t testing.TB, flow string, n int) []Span {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	for {
		c.mu.Lock()
		more := c.more
		var out []Span
		for _, s := range c.spans {
			if s.Attributes["dagyo.flow.id"] == flow {
				out = append(out, s)
			}
		}
		c.mu.Unlock()
		if len(out) >= n {
			slices.SortStableFunc(out, func(a, b Span) int { return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Name, b.Name)) })
			return out
		}
		select {
		case <-more:
		case <-deadline.C:
			t.Fatalf("%d spans of flow %s; want %d:\n%s", len(out), flow, n, Tree(out))
		}
	}
}

// Count returns how many spans were received.
func (c *Collector) Count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.spans)
}

// Tree draws spans, each on a line under that of its parent: its name, its node, and its error.
func Tree(spans []Span) string {
	known := make(map[string]bool)
	for _, s := range spans {
		known[s.ID] = true
	}
	var b strings.Builder
	var draw func(parent, indent string)
	draw = func(parent, indent string) {
		for _, s := range spans {
			if s.Parent != parent && (parent != "" || known[s.Parent]) {
				continue
			}
			fmt.Fprintf(&b, "%s%s\n", indent, strings.Join(strings.Fields(s.Name+" "+s.Attributes["dagyo.node"]+" "+s.Error), " "))
			draw(s.ID, indent+"  ")
		}
	}
	draw("", "")
	return b.String()
}
