package monitor

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/dagyo/dagyo/pkg/metrics"
)

// A tenant has instruments of its own. OpenTelemetry keeps a series as long as its instrument: dropping a tenant drops its
// series.
type tenant struct {
	table      map[metrics.Name]metrics.Instrument // of all tenants
	readers    []*sdk.ManualReader                 // one for each output
	counters   map[metrics.Name]metric.Int64Counter
	histograms map[metrics.Name]metric.Float64Histogram
	read       map[metrics.Name]metric.Float64Observable
	// labels are the labels that values have had, by key: there is a bounded number of them.
	labels sync.Map

	mu      sync.Mutex
	sources map[*source]struct{}
}

// A source is a registered function that observes values.
type source struct {
	of      metrics.Scope
	observe func(metrics.Observe)
	ended   bool
	mu      sync.Mutex // held while it is called: it is not called any more once it is removed
}

// An output is the page or the collector, which reads from all tenants.
type output struct {
	monitor *Monitor
	index   int // in tenant.readers
	options []sdk.ManualReaderOption
}

// Produce implements [sdk.Producer].
func (o *output) Produce(ctx context.Context) (all []metricdata.ScopeMetrics, err error) {
	for _, t := range o.monitor.all() {
		var values metricdata.ResourceMetrics
		err = errors.Join(err, t.readers[o.index].Collect(ctx, &values))
		all = append(all, values.ScopeMetrics...)
	}
	return all, err
}

// newTenant creates the instruments of a tenant.
func newTenant(table map[metrics.Name]metrics.Instrument, outputs []*output) (*tenant, error) {
	t := &tenant{
		table: table, counters: make(map[metrics.Name]metric.Int64Counter), histograms: make(map[metrics.Name]metric.Float64Histogram),
		read: make(map[metrics.Name]metric.Float64Observable), sources: make(map[*source]struct{}),
	}
	options := []sdk.Option{sdk.WithCardinalityLimit(-1)} // labels are bounded, and a progdef beyond a limit must not be lost
	for _, o := range outputs {
		r := sdk.NewManualReader(o.options...)
		t.readers = append(t.readers, r)
		options = append(options, sdk.WithReader(r))
	}
	meter := sdk.NewMeterProvider(options...).Meter("github.com/dagyo/dagyo")
	var errs []error
	for _, i := range table {
		errs = append(errs, t.create(meter, i))
	}
	var all []metric.Observable
	for _, o := range t.read {
		all = append(all, o)
	}
	_, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		t.each(func(of metrics.Scope, n metrics.Name, value float64, labels []string) {
			if gauge, known := t.read[n]; known {
				o.ObserveFloat64(gauge, value, t.with(of, n, labels))
			}
		})
		return nil
	}, all...)
	return t, errors.Join(append(errs, err)...)
}

// create creates an instrument.
func (t *tenant) create(meter metric.Meter, i metrics.Instrument) (err error) {
	name, doc, unit := string(i.Name), metric.WithDescription(i.Doc), metric.WithUnit(i.Unit)
	switch {
	case i.Kind == metrics.Histogram:
		t.histograms[i.Name], err = meter.Float64Histogram(name, doc, unit, metric.WithExplicitBucketBoundaries(i.Bounds...))
	case i.Kind == metrics.Gauge:
		t.read[i.Name], err = meter.Float64ObservableGauge(name, doc, unit)
	case i.Read:
		t.read[i.Name], err = meter.Float64ObservableCounter(name, doc, unit)
	default:
		t.counters[i.Name], err = meter.Int64Counter(name, doc, unit)
	}
	return err
}

// each calls take with each value of each source.
func (t *tenant) each(take func(of metrics.Scope, n metrics.Name, value float64, labels []string)) {
	t.mu.Lock()
	sources := slices.Collect(maps.Keys(t.sources))
	t.mu.Unlock()
	for _, s := range sources {
		s.mu.Lock()
		if !s.ended {
			s.observe(func(n metrics.Name, value float64, labels ...string) { take(s.of, n, value, labels) })
		}
		s.mu.Unlock()
	}
}

// put adds a source.
func (t *tenant) put(s *source) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sources[s] = struct{}{}
}

// remove removes a source, and returns when it is not being called.
func (t *tenant) remove(s *source) {
	t.mu.Lock()
	delete(t.sources, s)
	t.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}

// observed reports whether there is a source.
func (t *tenant) observed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.sources) > 0
}

// begin begins the counters of a service.
func (t *tenant) begin(of metrics.Scope) {
	for _, i := range t.table {
		if i.Of != of.Service {
			continue
		}
		for _, labels := range i.Values {
			t.counters[i.Name].Add(context.Background(), 0, t.with(of, i.Name, labels))
		}
	}
}

// A key is an instrument with labels.
type key struct {
	service string
	name    metrics.Name
	labels  string
}

// with returns the labels of a value. They are made once, since that takes longer than to count.
func (t *tenant) with(of metrics.Scope, n metrics.Name, labels []string) metric.MeasurementOption {
	k := key{of.Service, n, strings.Join(labels, "\x00")}
	known, ok := t.labels.Load(k)
	if !ok {
		known, _ = t.labels.LoadOrStore(k, metric.WithAttributeSet(t.attributes(of, n, labels)))
	}
	return known.(metric.MeasurementOption)
}

// attributes returns the labels of a value.
func (t *tenant) attributes(of metrics.Scope, n metrics.Name, labels []string) attribute.Set {
	var out []attribute.KeyValue
	for _, name := range t.table[n].Labels {
		value := ""
		switch {
		case name == "tenant":
			value = of.Tenant
		case name == "service":
			value = of.Service
		case len(labels) > 0:
			value, labels = labels[0], labels[1:]
		}
		out = append(out, attribute.String(name, value))
	}
	return attribute.NewSet(out...)
}
