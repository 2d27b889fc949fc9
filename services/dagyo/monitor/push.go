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
	envTracesEndpoint  = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	envProtocol        = "OTEL_EXPORTER_OTLP_PROTOCOL"
	envMetricsProtocol = "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL"
	envTracesProtocol  = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
	envScheduleDelay   = "OTEL_BSP_SCHEDULE_DELAY"
	envTracesExporter  = "OTEL_TRACES_EXPORTER"

	protocol = "http/protobuf"
	// Values of OTEL_TRACES_EXPORTER.
	exporterOTLP, exporterNone = "otlp", "none"
)

// Pushes reports whether the environment names a collector for metrics.
func Pushes(env func(string) string) (bool, error) {
	if env(envEndpoint) == "" && env(envMetricsEndpoint) == "" {
		return false, nil
	}
	err := supported(env, envMetricsProtocol)
	return err == nil, err
}

// PushesTraces reports whether the environment names a collector for traces, or says that there is one at the default address.
func PushesTraces(env func(string) string) (bool, error) {
	switch x := env(envTracesExporter); {
	case x != "" && x != exporterOTLP && x != exporterNone:
		return false, fmt.Errorf("%s is %q: it must be %s, or %s for no traces", envTracesExporter, x, exporterOTLP, exporterNone)
	case x == exporterNone, x == "" && env(envEndpoint) == "" && env(envTracesEndpoint) == "":
		return false, nil
	}
	err := supported(env, envTracesProtocol)
	return err == nil, err
}

// supported returns an error unless the protocol is the supported one. The variable of the signal prevails.
func supported(env func(string) string, name string) error {
	if env(name) == "" {
		name = envProtocol
	}
	if p := env(name); p != "" && p != protocol {
		return fmt.Errorf("%s is %q: it must be %s, which is the default", name, p, protocol)
	}
	return nil
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
