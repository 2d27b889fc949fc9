package monitor

import (
	"fmt"
	"slices"

	"github.com/dagyo/dagyo/pkg/metrics"
)

// Expect sets the tenants that a service must serve for the process to be ready: "" without tenants. What was measured of
// a tenant is forgotten once no service must serve it and none does.
func (m *Monitor) Expect(service string, tenants []string) {
	if m == nil {
		return
	}
	expected := make(map[string]bool)
	for _, name := range tenants {
		expected[name] = true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expected[service] = expected
	for name := range m.tenants {
		m.forget(name)
	}
}

// Missing returns what the process lacks to be ready, one sentence each. It uses the values that /metrics shows.
func (m *Monitor) Missing() (missing []string) {
	type state struct{ connected, current bool }
	running := make(map[metrics.Scope]state)
	take := func(of metrics.Scope, n metrics.Name, value float64, _ []string) {
		s, on := running[of], value > 0
		switch n {
		case metrics.NATSConnected:
			s.connected = s.connected || on
		case metrics.ServiceCurrent:
			s.current = s.current || on
		default:
			return
		}
		running[of] = s
	}
	for _, t := range m.all() {
		t.each(take)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	for service, tenants := range m.expected {
		if tenants == nil {
			missing = append(missing, fmt.Sprintf("the %s does not know the tenants yet", service))
		}
		for tenant := range tenants {
			s, runs := running[metrics.Scope{Tenant: tenant, Service: service}]
			what := "the " + service
			if tenant != "" {
				what += " of tenant " + tenant
			}
			switch {
			case !runs:
				missing = append(missing, what+" is not running")
			case !s.connected:
				missing = append(missing, what+" is not connected to NATS")
			case !s.current:
				missing = append(missing, what+" is still reading events")
			}
		}
	}
	slices.Sort(missing)
	return missing
}
