package suite

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/tests/bench/internal/worker"
)

// The settings of the edges: the planner's defaults.
const (
	window = 8 << 20
	frames = 128
)

// lonePause is the time between two lone records.
const lonePause = time.Millisecond

func (s *Suite) edgeFigures() []Figure {
	return []Figure{
		smallRecords(), octetsOf(1<<10, "1 KiB"), octetsOf(64<<10, "64 KiB"), octetsOf(1<<20, "1 MiB"),
		extremes(), pipeline(), loneRecord(), manyEdges(), stalled(),
	}
}

// smallRecords measures one edge with records of 128 bytes.
func smallRecords() Figure {
	rec := PerSecond("records")
	return Figure{
		Name: "edge 128 B",
		How: "One edge from a producer to a consumer process through the nats-server process. Ours " +
			"are two executors (`executor.Run`, jobs from the mailbox); `pkg/stream` is " +
			"the edge without the SDK. Core NATS keeps a window of 8 MiB by credits. JetStream is " +
			"`PublishAsync` (4,000 unconfirmed) and an ordered consumer. Rates are from the first send " +
			"to the last receipt; totals are compared.",
		Variants: []Variant{
			{"SDK, batches", sdkEdge("batches", 128, true)},
			{"core, one message per record", core("core", 128)},
			{"SDK, one by one", sdkEdge("sdk", 128, false)},
			{"core, 64 KiB", core("core64k", 64<<10)},
			{"pkg/stream", plainEdge("stream", 128)},
			{"JetStream, memory", plainJetStream("jsMemory", 128, jetstream.MemoryStorage)},
			{"JetStream, file", plainJetStream("jsFile", 128, jetstream.FileStorage)},
		},
		Rows: []Row{
			{"one edge, 128-byte records, `SendBatch` and `Batches` / core NATS one message per record",
				"batches", "core", rec, Goal{AtLeast: 2, Text: "≥ 2"}},
			{"… `Send` and `All`, one record at a time", "sdk", "core", rec,
				Goal{AtLeast: 2, Text: "≥ 2"}},
			{"… `pkg/stream` alone, one at a time", "stream", "core", rec, Goal{}},
			{"… `Send` and `All` / JetStream `PublishAsync`, memory", "sdk", "jsMemory", rec, Goal{}},
			{"… `Send` and `All` / JetStream `PublishAsync`, file", "sdk", "jsFile", rec, Goal{}},
			{"… bytes/s of batches / core NATS 64 KiB messages", "batches bytes", "core64k bytes", Octets,
				Goal{}},
			{"heap allocations per record, `SendBatch`", "batches allocs send", "", Plain,
				Goal{AtMost: 0.1, Text: "≤ 0.1"}},
			{"heap allocations per record, `Batches`", "batches allocs recv", "", Plain,
				Goal{AtMost: 0.1, Text: "≤ 0.1"}},
			{"heap allocations per record, `Send`", "sdk allocs send", "", Plain,
				Goal{AtMost: 0.1, Text: "≤ 0.1"}},
			{"heap allocations per record, `All`", "sdk allocs recv", "", Plain,
				Goal{AtMost: 0.1, Text: "≤ 0.1"}},
		},
	}
}

// octetsOf measures one edge with larger records.
func octetsOf(size int, name string) Figure {
	return Figure{
		Name: "edge " + name,
		How:  "As with 128 bytes; the reference is core NATS with messages of 64 KiB.",
		Variants: []Variant{
			{"SDK", sdkEdge("sdk", size, false)},
			{"core, 64 KiB", core("core64k", 64<<10)},
		},
		Rows: []Row{
			{"one edge, bytes/s, records of " + name + " / core NATS 64 KiB messages",
				"sdk bytes", "core64k bytes", Octets, Goal{AtLeast: 0.8, Text: "≥ 0.8"}},
		},
	}
}

// extremes measures the smallest and the largest records.
func extremes() Figure {
	return Figure{
		Name: "extremes",
		How:  "As with 128 bytes, with empty records and with records of 256 MiB, which a reader holds in memory as a whole.",
		Variants: []Variant{
			{"SDK, 0 B", sdkEdge("zero", 0, false)},
			{"SDK, 256 MiB", sdkEdge("huge", 256<<20, false)},
			{"core, 64 KiB", core("core64k", 64<<10)},
		},
		Rows: []Row{
			{"one edge, records of 0 bytes", "zero", "", PerSecond("records"), Goal{}},
			{"one edge, bytes/s, records of 256 MiB / core NATS 64 KiB messages", "huge bytes", "core64k bytes",
				Octets, Goal{}},
		},
	}
}

// manyEdges measures a hundred edges of one flow at once.
func manyEdges() Figure {
	many := func(size int) func(*Run) (Values, error) {
		return func(r *Run) (Values, error) {
			f, err := r.flow(jetstream.FileStorage, 100)
			if err != nil {
				return nil, err
			}
			defer f.end()
			received, sent, err := f.edges(size, false)
			if err != nil {
				return nil, err
			}
			_, octets := rates(sent, received)
			return Values{fmt.Sprintf("hundred %d", size): octets}, nil
		}
	}
	one := func(size int) func(*Run) (Values, error) {
		return sdkEdge(fmt.Sprintf("one %d", size), size, false)
	}
	return Figure{
		Name: "100 edges",
		How: "A flow with 100 edges: one executor runs the 100 sources, one the 100 sinks, all at " +
			"once. The reference is the same with one edge.",
		Variants: []Variant{
			{"one edge, 64 KiB", one(64 << 10)}, {"100 edges, 64 KiB", many(64 << 10)},
			{"one edge, 128 B", one(128)}, {"100 edges, 128 B", many(128)},
		},
		Rows: []Row{
			{"100 edges at once, total bytes/s / one edge, 64 KiB", "hundred 65536", "one 65536 bytes",
				Octets, Goal{AtLeast: 0.8, Text: "≥ 0.8"}},
			{"… 128 B", "hundred 128", "one 128 bytes", Octets, Goal{AtLeast: 0.8, Text: "≥ 0.8"}},
		},
	}
}

// sdkEdge runs an edge between two executors.
func sdkEdge(series string, size int, batch bool) func(*Run) (Values, error) {
	return func(r *Run) (Values, error) {
		f, err := r.flow(jetstream.FileStorage, 1)
		if err != nil {
			return nil, err
		}
		defer f.end()
		received, sent, err := f.edges(size, batch)
		if err != nil {
			return nil, err
		}
		records, octets := rates(sent, received)
		return Values{
			series: records, series + " bytes": octets,
			series + " allocs send": allocations(sent), series + " allocs recv": allocations(received),
		}, nil
	}
}

// plainEdge runs an edge between two processes that use only package stream.
func plainEdge(series string, size int) func(*Run) (Values, error) {
	return func(r *Run) (Values, error) {
		f, err := r.flow(jetstream.FileStorage, 1)
		if err != nil {
			return nil, err
		}
		defer f.end()
		l := r.load(f.broker, size)
		l.Address = f.address(0)
		received, sent, err := r.pair(f.broker, "edge-recv", "edge-send", l, l, nil)
		if err != nil {
			return nil, err
		}
		records, octets := rates(sent, received)
		return Values{
			series: records, series + " bytes": octets,
			series + " allocs send": allocations(sent), series + " allocs recv": allocations(received),
		}, nil
	}
}

func (r *Run) load(b *Broker, size int) worker.Load {
	return worker.Load{URL: b.URL, Size: size, For: r.For, Window: window}
}

// core runs plain NATS with messages of the given size.
func core(series string, size int) func(*Run) (Values, error) {
	return func(r *Run) (Values, error) {
		b, err := r.edgeBroker()
		if err != nil {
			return nil, err
		}
		l := r.load(b, size)
		l.Subject = "plain." + r.nextID()
		received, sent, err := r.pair(b, "core-recv", "core-send", l, l, nil)
		if err != nil {
			return nil, err
		}
		records, octets := rates(sent, received)
		return Values{series: records, series + " bytes": octets}, nil
	}
}

// plainJetStream runs JetStream with one message per record.
func plainJetStream(series string, size int, storage jetstream.StorageType) func(*Run) (Values, error) {
	return func(r *Run) (Values, error) {
		received, sent, err := r.jetStream(storage, size, 0)
		if err != nil {
			return nil, err
		}
		records, octets := rates(sent, received)
		return Values{series: records, series + " bytes": octets}, nil
	}
}

func (r *Run) jetStream(
	storage jetstream.StorageType, size int, pause time.Duration,
) (received, sent worker.Result, err error) {
	b, err := r.edgeBroker()
	if err != nil {
		return received, sent, err
	}
	l := r.load(b, size)
	l.Subject, l.Gap = "plain."+r.nextID(), pause
	drop, err := r.plainStream(b, l.Subject, storage)
	if err != nil {
		return received, sent, err
	}
	defer drop()
	return r.pair(b, "js-recv", "js-send", l, l, nil)
}

// plainStream creates a stream for one subject.
func (r *Run) plainStream(
	b *Broker, subject string, storage jetstream.StorageType,
) (drop func(), err error) {
	name := worker.StreamOf(subject)
	_, err = b.Link.JS.CreateStream(r, jetstream.StreamConfig{
		Name: name, Subjects: []string{subject}, Storage: storage,
	})
	return func() { _ = b.Link.JS.DeleteStream(r, name) }, err
}

// loneRecord measures the latency of a single record.
func loneRecord() Figure {
	ours := func(series string, storage jetstream.StorageType) func(*Run) (Values, error) {
		return func(r *Run) (Values, error) {
			f, err := r.flow(storage, 1)
			if err != nil {
				return nil, err
			}
			defer f.end()
			f.pause = lonePause
			received, _, err := f.edges(128, false)
			if err != nil {
				return nil, err
			}
			return delays(series, received), nil
		}
	}
	ref := func(series string, storage jetstream.StorageType) func(*Run) (Values, error) {
		return func(r *Run) (Values, error) {
			received, _, err := r.jetStream(storage, 128, lonePause)
			if err != nil {
				return nil, err
			}
			return delays(series, received), nil
		}
	}
	return Figure{
		Name: "lone record",
		How: "Every millisecond a record of 128 bytes with the time at which it was sent; the receiver, " +
			"another process on the same clock, subtracts. The reference is `Publish` of one message " +
			"to a stream and an ordered consumer.",
		Variants: []Variant{
			{"SDK, file", ours("sdk", jetstream.FileStorage)},
			{"JetStream, file", ref("js", jetstream.FileStorage)},
			{"SDK, memory", ours("sdkMemory", jetstream.MemoryStorage)},
			{"JetStream, memory", ref("jsMemory", jetstream.MemoryStorage)},
		},
		Rows: []Row{
			{"a lone record, one way, p50 / JetStream publish → deliver p50", "sdk p50", "js p50", Seconds,
				Goal{AtMost: 1.3, Text: "≤ 1.3"}},
			{"… p99", "sdk p99", "js p99", Seconds, Goal{}},
			{"… p50, memory storage both", "sdkMemory p50", "jsMemory p50", Seconds,
				Goal{AtMost: 1.3, Text: "≤ 1.3"}},
			{"… p99, memory storage both", "sdkMemory p99", "jsMemory p99", Seconds, Goal{}},
		},
	}
}

func delays(series string, r worker.Result) Values {
	return Values{series + " p50": r.P50.Seconds(), series + " p99": r.P99.Seconds()}
}
