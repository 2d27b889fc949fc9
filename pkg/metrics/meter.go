package metrics

// A Scope is what values are about: a service of a tenant. Both are "" in the gateway; Tenant is "" where services
// serve no tenants.
type Scope struct{ Tenant, Service string }

// An Observe takes the value of a gauge, or of a counter that is read when values are exported. The labels are those of
// the instrument behind tenant and service, in the order of [Table].
type Observe func(n Name, value float64, labels ...string)

// A Sink exports values. It may be called concurrently.
type Sink interface {
	// Add adds 1 to a counter.
	Add(s Scope, n Name, labels ...string)
	// Record adds a value to a histogram.
	Record(s Scope, n Name, value float64, labels ...string)
	// Register adds a source of values, which is called whenever values are exported, until remove is called.
	Register(s Scope, source func(Observe)) (remove func())
}

// A Meter passes values to a sink. The zero Meter drops them.
type Meter struct {
	sink Sink
	of   Scope
}

// To returns a meter without a scope.
func To(s Sink) Meter { return Meter{sink: s} }

// OfTenant returns a meter for a tenant.
func (m Meter) OfTenant(name string) Meter {
	m.of.Tenant = name
	return m
}

// OfService returns a meter for a service.
func (m Meter) OfService(name string) Meter {
	m.of.Service = name
	return m
}

// On reports whether values go anywhere.
func (m Meter) On() bool { return m.sink != nil }

// Add adds 1 to a counter. The labels are those behind tenant and service.
func (m Meter) Add(n Name, labels ...string) {
	if m.On() {
		m.sink.Add(m.of, n, labels...)
	}
}

// Record adds a value to a histogram.
func (m Meter) Record(n Name, value float64, labels ...string) {
	if m.On() {
		m.sink.Record(m.of, n, value, labels...)
	}
}

// Register adds a source of values; see [Sink].
func (m Meter) Register(source func(Observe)) (remove func()) {
	if !m.On() {
		return func() {}
	}
	return m.sink.Register(m.of, source)
}

// Bool is the value of a gauge that is 0 or 1.
func Bool(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
