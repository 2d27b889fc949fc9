// Package monitor exports what Dagyo measures (package metrics) by OpenTelemetry: on a page for Prometheus, and to an OTLP
// collector. It also sends spans (package trace) to such a collector, and serves /healthz, /readyz and profiles.
//
//	/metrics        all instruments of metrics.Table, and those of the process and the Go runtime
//	/healthz        the process runs
//	/readyz         all expected services are connected to NATS and current; else 503, and what is missing;
//	                without services there is no such page
//	/debug/pprof/   profiles, if they are on
package monitor
