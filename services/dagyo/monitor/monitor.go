package monitor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/otlptranslator"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	exporter "go.opentelemetry.io/otel/exporters/prometheus"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.37.0"

	"github.com/dagyo/dagyo/pkg/metrics"
	"github.com/dagyo/dagyo/pkg/service"
)

// Config says what a Monitor exports, and where.
type Config struct {
	// Name is the name of the process for OpenTelemetry, such as dagyo-planner.
	Name string
	// Services must serve their tenants for the process to be ready. Without services there is no /readyz.
	Services []string
	// Push is set to send values to a collector, as the variables OTEL_EXPORTER_OTLP_… say.
	Push bool
	Log  zerolog.Logger
}

// A Monitor exports values. It is a [metrics.Sink]. A nil Monitor exports nothing.
type Monitor struct {
	provider *sdk.MeterProvider // of what exports; it has no instruments, but reads those of the tenants
	registry *prometheus.Registry
	outputs  []*output
	table    map[metrics.Name]metrics.Instrument

	mu       sync.RWMutex
	tenants  map[string]*tenant
	expected map[string]map[string]bool // the tenants of each service, nil before they are known
}

// New returns a monitor. The caller must close it.
func New(ctx context.Context, c Config) (*Monitor, error) {
	m := &Monitor{
		registry: prometheus.NewRegistry(), table: make(map[metrics.Name]metrics.Instrument),
		tenants: make(map[string]*tenant), expected: make(map[string]map[string]bool),
	}
	for _, i := range metrics.Table() {
		m.table[i.Name] = i
	}
	for _, name := range c.Services {
		m.expected[name] = nil
	}
	about, err := resourceOf(ctx, c.Name)
	if err != nil {
		return nil, fmt.Errorf("export metrics: %w", err)
	}
	options, err := m.readers(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("export metrics: %w", err)
	}
	m.provider = sdk.NewMeterProvider(append(options, sdk.WithResource(about))...)
	if m.tenants[""], err = newTenant(m.table, m.outputs); err != nil {
		return nil, fmt.Errorf("export metrics: %w", errors.Join(err, m.Close(ctx)))
	}
	return m, nil
}

// resourceOf describes this process under a name.
func resourceOf(ctx context.Context, name string) (*resource.Resource, error) {
	return resource.New(ctx,
		resource.WithService(), // has an id, by which a collector tells replicas apart
		resource.WithAttributes(semconv.ServiceName(name), semconv.ServiceVersion(service.Version)),
		resource.WithFromEnv(), // prevails
	)
}

// readers returns the page, and the collector if there is one.
func (m *Monitor) readers(ctx context.Context, c Config) ([]sdk.Option, error) {
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	page, err := exporter.New(
		exporter.WithRegisterer(m.registry), exporter.WithoutScopeInfo(), exporter.WithProducer(m.output()),
		// Names are those of the table everywhere.
		exporter.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithoutSuffixes),
	)
	if err != nil {
		return nil, err
	}
	options := []sdk.Option{sdk.WithReader(page)}
	if c.Push {
		collector, err := otlpmetrichttp.New(ctx)
		if err != nil {
			return nil, err
		}
		all := m.output(sdk.WithTemporalitySelector(collector.Temporality), sdk.WithAggregationSelector(collector.Aggregation))
		options = append(options, sdk.WithReader(sdk.NewPeriodicReader(&loud{Exporter: collector, log: c.Log}, sdk.WithProducer(all))))
	}
	return options, nil
}

// output adds an output, which reads tenants with these options.
func (m *Monitor) output(options ...sdk.ManualReaderOption) *output {
	o := &output{m, len(m.outputs), options}
	m.outputs = append(m.outputs, o)
	return o
}

// all returns the tenants.
func (m *Monitor) all() []*tenant {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.Collect(maps.Values(m.tenants))
}

// of returns a tenant.
func (m *Monitor) of(name string) *tenant {
	m.mu.RLock()
	t := m.tenants[name]
	m.mu.RUnlock()
	if t != nil {
		return t
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.add(name)
}

// add returns a tenant, and adds it if it is new. The caller must hold the lock.
func (m *Monitor) add(name string) *tenant {
	t := m.tenants[name]
	if t == nil {
		t, _ = newTenant(m.table, m.outputs) // New has created the same instruments without an error
		m.tenants[name] = t
	}
	return t
}

// forget drops a tenant that no service serves or must serve. Values without a tenant are kept. The caller must hold the
// lock.
func (m *Monitor) forget(name string) {
	t := m.tenants[name]
	if name == "" || t == nil || t.observed() {
		return
	}
	for _, tenants := range m.expected {
		if tenants[name] {
			return
		}
	}
	delete(m.tenants, name)
}

// Add implements [metrics.Sink].
func (m *Monitor) Add(of metrics.Scope, n metrics.Name, labels ...string) {
	t := m.of(of.Tenant)
	t.counters[n].Add(context.Background(), 1, t.with(of, n, labels))
}

// Record implements [metrics.Sink].
func (m *Monitor) Record(of metrics.Scope, n metrics.Name, value float64, labels ...string) {
	t := m.of(of.Tenant)
	t.histograms[n].Record(context.Background(), value, t.with(of, n, labels))
}

// Register implements [metrics.Sink]. The counters of the service begin.
func (m *Monitor) Register(of metrics.Scope, observe func(metrics.Observe)) (remove func()) {
	s := &source{of: of, observe: observe}
	m.mu.Lock()
	defer m.mu.Unlock()
	t := m.add(of.Tenant)
	t.begin(of)
	t.put(s)
	return func() {
		t.remove(s)
		m.mu.Lock()
		defer m.mu.Unlock()
		m.forget(of.Tenant)
	}
}

// Meter returns a meter of this monitor, the zero Meter for a nil Monitor.
func (m *Monitor) Meter() metrics.Meter {
	if m == nil {
		return metrics.Meter{}
	}
	return metrics.To(m)
}

// Close sends what is left to the collector, and ends the monitor.
func (m *Monitor) Close(ctx context.Context) error {
	if m == nil {
		return nil
	}
	return m.provider.Shutdown(ctx)
}
