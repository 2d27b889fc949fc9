package monitor

import (
	"context"
	"fmt"

	"github.com/rs/zerolog"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

// Variables of OpenTelemetry.
const (
	envEndpoint        = "OTEL_EXPORTER_OTLP_ENDPOINT"
	envMetricsEndpoint = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
	envProtocol        = "OTEL_EXPORTER_OTLP_PROTOCOL"
	envMetricsProtocol = "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"

	protocol = "http/protobuf"
)

// Pushes reports whether the environment names a collector.
func Pushes(env func(string) string) (bool, error) {
	if env(envEndpoint) == "" && env(envMetricsEndpoint) == "" {
		return false, nil
	}
	name := envMetricsProtocol // prevails
	if env(name) == "" {
		name = envProtocol
	}
	if p := env(name); p != "" && p != protocol {
		return false, fmt.Errorf("%s is %q: it must be %s, which is the default", name, p, protocol)
	}
	return true, nil
}

// loud logs the first of the errors in a row of an exporter, which OpenTelemetry would report to a handler that the whole
// process shares.
type loud struct {
	sdk.Exporter
	log    zerolog.Logger
	failed bool
}

// Export implements [sdk.Exporter], which calls it one at a time.
func (e *loud) Export(ctx context.Context, all *metricdata.ResourceMetrics) error {
	err := e.Exporter.Export(ctx, all)
	if err != nil && !e.failed {
		e.log.Warn().Err(err).Msg("cannot send metrics to the OTLP collector; trying again")
	}
	e.failed = err != nil
	return nil
}
