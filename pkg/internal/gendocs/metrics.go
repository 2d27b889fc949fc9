package main

import (
	"fmt"
	"strings"

	"github.com/dagyo/dagyo/pkg/metrics"
)

const metricsHead = `# Metrics

Generated from ` + "`pkg/metrics`" + ` by ` + "`make generate`" + `. Do not edit.

| command | serves ` + "`/metrics`" + ` with |
|---|---|
| ` + "`dagyo validator`, `planner`, `spawner`, `panic-aggregator`" + ` | ` + "`--http ADDRESS` (`DAGYO_HTTP`)" + `, and on the same address ` + "`/healthz`" + ` (the process runs) and ` + "`/readyz`" + ` (the service is connected and current for every tenant; else 503, with what is missing) |
| ` + "`dagyo gateway`" + ` | ` + "`--metrics ADDRESS` (`DAGYO_METRICS`)" + `, which must not be the address of its HTTP API |
| ` + "`dagyo up`" + ` | ` + "`--metrics ADDRESS` (`DAGYO_METRICS`)" + `: all services and the gateway on one page, and ` + "`/readyz`" + ` |

All are off by default. Kubernetes sets them to port 9464, and compose to ` + "`DAGYO_METRICS`" + ` of its ` + "`.env`" + `. Whoever reaches the address can read the names of tenants and progdefs, and numbers. It makes at most four pages at a time, each within a minute. ` + "`--pprof`" + ` adds profiles at ` + "`/debug/pprof/`" + `. If ` + "`OTEL_EXPORTER_OTLP_ENDPOINT`" + ` or ` + "`OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`" + ` is set, these commands also send the values to a collector, by OTLP over HTTP with protobuf; the other variables of OpenTelemetry apply, such as ` + "`OTEL_RESOURCE_ATTRIBUTES`" + `. Names are the same there, and ` + "`service.instance.id`" + ` tells replicas apart.

[deploy/observability](../deploy/observability) has a configuration for Prometheus, alerts and a dashboard; [operations](operations.md#alerts) says what to do about each alert.

## How to read them

- **The sum over all replicas is right.** Only the leading replica exports what follows from events and the state of Dagyo (*by*: leader). Each replica exports the values about itself, with the label ` + "`service`" + `.
- **An event counts when the leader folds it**, and a replica that was paused counts nothing once its lease has expired. So no event counts twice, and a restart counts nothing again, whether it reads a snapshot or all of EVENTS. What is stored while nobody leads does not count: after a crash of the leader, up to three seconds.
- Counters begin at 0 with each start of a process, as usual, and with a tenant. All values of a tenant disappear when it is removed. Use ` + "`rate` and `increase`" + `. Gauges by the leader are missing while nobody leads.
- **Labels are bounded.** None names a flow, an executor or a user. ` + "`tenant`" + ` is the name of a tenant, and empty for services without ` + "`--tenants`" + `. ` + "`progdef`" + ` has only those in the catalogue, or running, that have executors. Kinds and codes that Dagyo does not know, which an event could contain, are ` + "`other`" + `. ` + "`subject`" + ` and ` + "`route`" + ` are patterns.
- The page also has the metrics of the Go runtime and of the process (` + "`go_…`, `process_…`" + `), and ` + "`target_info`" + ` with the version.
`

// metricsPage returns docs/metrics.md.
func metricsPage() []byte {
	var out strings.Builder
	out.WriteString(metricsHead)
	section := ""
	for _, i := range metrics.Table() {
		if s := sectionOf(i); s != section {
			section = s
			fmt.Fprintf(&out, "\n## %s\n\n| name | kind | unit | labels | by | meaning |\n|---|---|---|---|---|---|\n", section)
		}
		labels := ""
		if len(i.Labels) > 0 {
			labels = "`" + strings.Join(i.Labels, "`, `") + "`"
		}
		fmt.Fprintf(&out, "| `%s` | %s | `%s` | %s | %s | %s |\n", i.Name, i.Kind, i.Unit, labels, i.By, i.Doc)
	}
	return []byte(out.String())
}

// sectionOf returns the heading under which an instrument is listed.
func sectionOf(i metrics.Instrument) string {
	switch i.Of {
	case "":
		return "Of every service"
	case "gateway":
		return "Of the gateway"
	}
	return "Of the " + i.Of
}
