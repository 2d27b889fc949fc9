package monitor

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/dagyo/dagyo/pkg/trace"
)

const (
	// tracesName is the name of the service that spans belong to: they are about Dagyo, whichever process exports them.
	tracesName = "dagyo"
	// spansQueued bounds the spans that wait for the collector; further ones are dropped.
	spansQueued = 16384
	// valueLimit bounds a value of an attribute, in characters: an executor may choose some.
	valueLimit = 256
)

// Traces exports spans to an OTLP collector. It is a [trace.Sink]. A nil Traces exports nothing.
type Traces struct {
	provider *sdktrace.TracerProvider
	tracer   oteltrace.Tracer
	log      zerolog.Logger
	queued   atomic.Int64 // spans that the collector does not have yet
	dropped  atomic.Int64
	// taken are the spans of flows that are not encoded yet: a service that exports them holds its lock.
	taken    chan []trace.Span
	closing  chan struct{}
	encoding sync.WaitGroup
	once     sync.Once
}

// NewTraces returns what exports spans, as the variables OTEL_EXPORTER_OTLP_… and OTEL_BSP_… say. The caller must close it.
func NewTraces(ctx context.Context, log zerolog.Logger) (*Traces, error) {
	t := &Traces{log: log, taken: make(chan []trace.Span, spansQueued), closing: make(chan struct{})}
	about, err := resourceOf(ctx, tracesName)
	if err != nil {
		return nil, fmt.Errorf("export traces: %w", err)
	}
	collector, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("export traces: %w", err)
	}
	limits := sdktrace.NewSpanLimits()
	limits.AttributeValueLengthLimit = valueLimit
	t.provider = sdktrace.NewTracerProvider(
		sdktrace.WithResource(about), sdktrace.WithRawSpanLimits(limits), sdktrace.WithIDGenerator(givenIDs{}),
		sdktrace.WithSampler(sdktrace.AlwaysSample()), // whoever began the trace has decided
		sdktrace.WithBatcher(&quiet{SpanExporter: collector, of: t}, batches()...),
	)
	t.tracer = t.provider.Tracer("github.com/dagyo/dagyo")
	t.encoding.Go(t.encode)
	return t, nil
}

// batches returns how spans are collected. They are sent after a second unless the environment says otherwise, which counts if
// the process crashes.
func batches() []sdktrace.BatchSpanProcessorOption {
	options := []sdktrace.BatchSpanProcessorOption{sdktrace.WithMaxQueueSize(spansQueued)}
	if os.Getenv(envScheduleDelay) == "" {
		options = append(options, sdktrace.WithBatchTimeout(time.Second))
	}
	return options
}

// Tracer returns a tracer, the zero Tracer for a nil Traces.
func (t *Traces) Tracer() trace.Tracer {
	if t == nil {
		return trace.Tracer{}
	}
	return trace.To(t)
}

// Dropped returns how many spans were dropped.
func (t *Traces) Dropped() int64 { return t.dropped.Load() }

// Close sends what is left to the collector, and logs how many spans it did not take. Nothing may be exported any more.
func (t *Traces) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	t.once.Do(func() { close(t.closing) })
	t.encoding.Wait()
	err := t.provider.Shutdown(ctx)
	if n := t.Dropped() + t.queued.Load(); n > 0 {
		t.log.Warn().Int64("spans", n).Msg("spans were dropped")
	}
	return err
}

// Export implements [trace.Sink].
func (t *Traces) Export(spans []trace.Span) {
	n := int64(len(spans))
	if n == 0 {
		return
	}
	if t.queued.Add(n) > spansQueued {
		t.queued.Add(-n)
		t.drop(n)
		return
	}
	t.taken <- spans // there is room: no more than spansQueued spans are queued
}

// encode passes the spans that were taken on to OpenTelemetry until t is closed.
func (t *Traces) encode() {
	for {
		select {
		case spans := <-t.taken:
			t.pass(spans)
		case <-t.closing:
			if len(t.taken) == 0 {
				return
			}
		}
	}
}

func (t *Traces) pass(spans []trace.Span) {
	for _, s := range spans {
		t.start(s).End(oteltrace.WithTimestamp(s.End))
	}
}

// drop counts dropped spans, and logs the first.
func (t *Traces) drop(n int64) {
	if t.dropped.Add(n) == n {
		t.log.Warn().Msg("spans are dropped: the OTLP collector does not take them fast enough")
	}
}

// quiet exports batches of spans. It logs the first of the errors in a row, which OpenTelemetry would report to a handler
// that the whole process shares.
type quiet struct {
	sdktrace.SpanExporter
	of     *Traces
	failed bool
}

// ExportSpans implements [sdktrace.SpanExporter], which calls it one at a time. Spans that the collector does not take, after
// some tries, are dropped.
func (q *quiet) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := q.SpanExporter.ExportSpans(ctx, spans)
	q.of.queued.Add(-int64(len(spans)))
	if err != nil {
		q.of.dropped.Add(int64(len(spans)))
	}
	if err != nil && !q.failed {
		q.of.log.Warn().Err(err).Msg("cannot send spans to the OTLP collector; they are dropped")
	}
	q.failed = err != nil
	return nil
}
