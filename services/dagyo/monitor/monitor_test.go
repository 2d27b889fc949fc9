package monitor

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/dagyo/dagyo/pkg/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newMonitor(t testing.TB, c Config) *Monitor {
	t.Helper()
	c.Name, c.Log = "dagyo-test", zerolog.Nop()
	m, err := New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close(context.Background()) })
	return m
}

func page(m *Monitor, profiles bool, path string) (int, string) {
	w := httptest.NewRecorder()
	m.handler(profiles).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestPage(t *testing.T) {
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=a,service.version=0.0.1")
	m := newMonitor(t, Config{})
	all := m.Meter().OfTenant("acme")
	m.Meter().OfTenant("acme").OfService("panic-aggregator").Register(func(metrics.Observe) {})
	all.Add(metrics.FlowVerdicts, "panic", "crash")
	all.Record(metrics.FlowDuration, 3, "panic")
	remove := all.OfService("planner").Register(func(observe metrics.Observe) { observe(metrics.ServiceLag, 7) })
	_, text := page(m, false, "/metrics")
	for _, line := range []string{
		`dagyo_flow_verdicts_total{kind="crash",tenant="acme",verdict="panic"} 1`,
		`dagyo_flow_verdicts_total{kind="",tenant="acme",verdict="completed"} 0`,
		`dagyo_flow_duration_seconds_bucket{tenant="acme",verdict="panic",le="5"} 1`,
		`dagyo_service_events_lag{service="planner",tenant="acme"} 7`,
		`# TYPE dagyo_service_events_lag gauge`,
		`target_info{service_instance_id="a",service_name="dagyo-test",service_version="0.0.1"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("the page lacks %s:\n%s", line, text)
		}
	}
	remove()
	if _, text = page(m, false, "/metrics"); strings.Contains(text, "dagyo_service_events_lag{") {
		t.Error("a removed source is still on the page")
	}
	for path, code := range map[string]int{"/healthz": 200, "/readyz": 404, "/debug/pprof/": 404} {
		if got, _ := page(m, false, path); got != code {
			t.Errorf("%s is %d, want %d", path, got, code)
		}
	}
	if got, _ := page(m, true, "/debug/pprof/goroutine?debug=1"); got != 200 {
		t.Errorf("the profiles are %d", got)
	}
}

func TestReadiness(t *testing.T) {
	m := newMonitor(t, Config{Services: []string{"planner"}})
	want := func(missing string) {
		t.Helper()
		code, text := page(m, false, "/readyz")
		if missing == "" && code != http.StatusOK || missing != "" && (code != http.StatusServiceUnavailable || text != missing+"\n") {
			t.Errorf("%d %q; want %q", code, text, missing)
		}
	}
	want("the planner does not know the tenants yet")
	m.Expect("planner", []string{})
	want("")
	m.Expect("planner", []string{"acme", "default"})
	want("the planner of tenant acme is not running\nthe planner of tenant default is not running")
	connected, current := 0.0, 0.0
	serve := func(tenant string) func() {
		return m.Meter().OfTenant(tenant).OfService("planner").Register(func(observe metrics.Observe) {
			observe(metrics.NATSConnected, connected)
			observe(metrics.ServiceCurrent, current)
		})
	}
	serve("default")
	end := serve("acme")
	want("the planner of tenant acme is not connected to NATS\nthe planner of tenant default is not connected to NATS")
	connected = 1
	want("the planner of tenant acme is still reading events\nthe planner of tenant default is still reading events")
	current = 1
	want("")
	end()
	want("the planner of tenant acme is not running")
	m.Expect("planner", []string{"default"})
	want("")
	m.Expect("planner", []string{""})
	want("the planner is not running")
}

// Scrapers beyond a few are refused, and values are counted while pages are being made.
func TestManyScrapers(t *testing.T) {
	m := newMonitor(t, Config{})
	held := make(chan struct{})
	release := sync.OnceFunc(func() { close(held) })
	defer release()
	m.Meter().Register(func(metrics.Observe) { <-held })
	pages, codes := m.handler(false), make(chan int, scrapesAtOnce+1)
	for range scrapesAtOnce + 1 {
		go func() {
			w := httptest.NewRecorder()
			pages.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
			codes <- w.Code
		}()
	}
	select {
	case code := <-codes:
		if code != http.StatusServiceUnavailable {
			t.Errorf("one page too many is %d", code)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no page is too many")
	}
	m.Meter().Add(metrics.HTTPRequests, "GET /", "2xx")
	release()
	for range scrapesAtOnce {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("a page is %d", code)
		}
	}
}

// More series than the SDK's default limit are not merged.
func TestManySeries(t *testing.T) {
	m := newMonitor(t, Config{})
	for i := range 3000 {
		m.Meter().OfTenant("acme").Add(metrics.FlowRejections, strconv.Itoa(i))
	}
	if _, text := page(m, false, "/metrics"); strings.Contains(text, "overflow") {
		t.Error("series were merged")
	}
}

// What was measured of a tenant is kept while a service must serve it or serves it, and forgotten then.
func TestRemovedTenantIsForgotten(t *testing.T) {
	m := newMonitor(t, Config{Services: []string{"planner", "panic-aggregator"}})
	m.Meter().Add(metrics.HTTPRequests, "GET /", "2xx")
	serve := func(service string) (remove func()) {
		meter := m.Meter().OfTenant("acme").OfService(service)
		remove = meter.Register(func(observe metrics.Observe) { observe(metrics.ServiceLag, 7) })
		meter.Add(metrics.FlowSubmissions)
		meter.Record(metrics.FlowDuration, 3, "completed")
		return remove
	}
	shown := func(want bool, when string) {
		t.Helper()
		_, text := page(m, false, "/metrics")
		if strings.Contains(text, "acme") != want || !strings.Contains(text, "dagyo_http_requests_total{") {
			t.Errorf("%s:\n%s", when, text)
		}
	}
	for range 2 { // also a second tenant of this name
		m.Expect("planner", []string{"acme"})
		m.Expect("panic-aggregator", []string{"acme"})
		first, second := serve("planner"), serve("panic-aggregator")
		shown(true, "served")
		second()
		serve("panic-aggregator")()
		m.Expect("planner", nil)
		shown(true, "expected of one service, and served by the other")
		first()
		shown(true, "expected of one service")
		m.Expect("panic-aggregator", nil)
		shown(false, "removed")
	}
	m.Expect("planner", []string{"acme"})
	end := serve("planner")
	m.Expect("planner", nil)
	shown(true, "ending")
	end()
	shown(false, "ended")
}

func TestPush(t *testing.T) {
	var pushed atomic.Int64
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.URL.Path == "/v1/metrics" && strings.Contains(string(body), string(metrics.FlowSubmissions)) {
			pushed.Add(1)
		}
	}))
	defer collector.Close()
	t.Setenv(envEndpoint, collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
	m, err := New(t.Context(), Config{Name: "dagyo-test", Push: true})
	if err != nil {
		t.Fatal(err)
	}
	m.Meter().Add(metrics.FlowSubmissions)
	if err := m.Close(t.Context()); err != nil || pushed.Load() == 0 {
		t.Errorf("pushed %d times: %v", pushed.Load(), err)
	}
}

func TestPushes(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		push bool
		err  string
	}{
		{nil, false, ""},
		{map[string]string{envProtocol: "grpc"}, false, ""},
		{map[string]string{envEndpoint: "http://collector:4318"}, true, ""},
		{map[string]string{envMetricsEndpoint: "http://collector:4318", envMetricsProtocol: protocol}, true, ""},
		{map[string]string{envEndpoint: "http://collector:4318", envProtocol: "grpc", envMetricsProtocol: protocol}, true, ""},
		{map[string]string{envEndpoint: "http://collector:4317", envProtocol: "grpc"}, false,
			`OTEL_EXPORTER_OTLP_PROTOCOL is "grpc": it must be http/protobuf, which is the default`},
	} {
		push, err := Pushes(func(name string) string { return c.env[name] })
		if push != c.push || (err == nil) != (c.err == "") || err != nil && err.Error() != c.err {
			t.Errorf("%v: %v, %v", c.env, push, err)
		}
	}
}

// What an event costs that counts.
func BenchmarkAdd(b *testing.B) {
	m := newMonitor(b, Config{}).Meter().OfTenant("default").OfService("panic-aggregator")
	for b.Loop() {
		m.Add(metrics.FlowVerdicts, "panic", "crash")
	}
}

func BenchmarkRecord(b *testing.B) {
	m := newMonitor(b, Config{}).Meter().OfTenant("default").OfService("panic-aggregator")
	for b.Loop() {
		m.Record(metrics.FlowStartLatency, 0.01, "started")
	}
}
