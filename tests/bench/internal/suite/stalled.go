package suite

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/tests/bench/internal/role"
	"github.com/dagyo/dagyo/tests/bench/internal/worker"
)

// stalled measures the memory that an edge costs the broker if its reader stops reading.
func stalled() Figure {
	goal := Goal{AtMost: window + 1<<20, Text: "≤ window + 1 MiB"}
	return Figure{
		Name: "stalled reader", Rounds: 3,
		How: "A separate nats-server for each run, since memory is measured. A writer writes records " +
			"of 1 KiB until its window of 8 MiB is full; the reader has read one record and stopped. " +
			"Stream bytes are JetStream's own count, resident memory and the heap (after a collection) " +
			"are those of the nats-server process, each less its value before.",
		Variants: []Variant{
			{"memory", stalledOn("memory", jetstream.MemoryStorage)},
			{"file", stalledOn("file", jetstream.FileStorage)},
		},
		Rows: []Row{
			{"broker memory for a stalled edge: RSS at once, including garbage", "memory rss", "", Size, goal},
			{"… RSS after a collection", "memory kept", "", Size, goal},
			{"… heap after a collection", "memory heap", "", Size, goal},
			{"… stream bytes", "memory stream", "", Size, goal},
			{"… RSS at once, edges in files", "file rss", "", Size, Goal{}},
			{"… RSS after a collection, edges in files", "file kept", "", Size, Goal{}},
		},
	}
}

func stalledOn(series string, storage jetstream.StorageType) func(*Run) (Values, error) {
	return func(r *Run) (Values, error) {
		b, err := r.startBroker(r)
		if err != nil {
			return nil, err
		}
		defer b.close()
		f, err := r.flowOn(b, storage, 1)
		if err != nil {
			return nil, err
		}
		return f.stall(series)
	}
}

func (f *stub) stall(series string) (Values, error) {
	p := &Parts{run: f.Run}
	defer p.end()
	l := f.load(f.broker, 1<<10)
	l.Address = f.address(0)
	reader, err := p.start("edge-stall", l)
	if err != nil {
		return nil, err
	}
	writer, err := p.start("edge-fill", l)
	if err != nil {
		return nil, err
	}
	rss0, heap0, err := memory(f.Run, f.broker.Process)
	if err != nil {
		return nil, err
	}
	if err := reader.Tell(role.Go, nil); err != nil {
		return nil, err
	}
	var sent worker.Result
	if err := writer.Ask(f, role.Go, nil, &sent); err != nil {
		return nil, err
	}
	rss1, err := resident(f.broker.PID())
	if err != nil {
		return nil, err
	}
	kept, heap1, err := memory(f.Run, f.broker.Process)
	if err != nil {
		return nil, err
	}
	s, err := f.broker.Link.JS.Stream(f, contract.EdgeStream(f.id))
	if err != nil {
		return nil, err
	}
	return Values{
		series + " rss": rss1 - rss0, series + " kept": kept - rss0, series + " heap": heap1 - heap0,
		series + " stream": float64(s.CachedInfo().State.Bytes), series + " sent": float64(sent.Bytes),
	}, nil
}

// memory lets a process collect its garbage, and returns its memory after that.
func memory(r *Run, p *role.Process) (rss, heap float64, err error) {
	if err := p.Ask(r, worker.Memory, nil, &heap); err != nil {
		return 0, 0, err
	}
	time.Sleep(50 * time.Millisecond) // the system reclaims the pages
	rss, err = resident(p.PID())
	return rss, heap, err
}
