package trace

// A Sink exports spans. It may be called concurrently, and never waits: spans that it cannot take are dropped.
type Sink interface {
	Export([]Span)
}

// A Tracer passes the spans of a tenant's flows to a sink. The zero Tracer drops them.
type Tracer struct {
	sink   Sink
	tenant string
}

// To returns a tracer without a tenant.
func To(s Sink) Tracer { return Tracer{sink: s} }

// OfTenant returns a tracer for a tenant.
func (t Tracer) OfTenant(name string) Tracer {
	t.tenant = name
	return t
}

// On reports whether spans go anywhere.
func (t Tracer) On() bool { return t.sink != nil }

// Export passes spans on, with the name of the tenant.
func (t Tracer) Export(spans []Span) {
	if !t.On() || len(spans) == 0 {
		return
	}
	for i := range spans {
		spans[i].Attributes = append(spans[i].Attributes, [2]string{AttributeTenant, t.tenant})
	}
	t.sink.Export(spans)
}
