package suite

import (
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/tests/bench/internal/role"
	"github.com/dagyo/dagyo/tests/bench/internal/worker"
)

// manyWorkers is the number of Watermill's publishers and subscribers if order does not matter.
const manyWorkers = 16

// pipeline measures source → map → sink in three processes.
func pipeline() Figure {
	rec := PerSecond("records")
	file, memory := jetstream.FileStorage, jetstream.MemoryStorage
	return Figure{
		Name: "source-map-sink 128 B",
		How: "Three processes with records of 128 bytes. Ours are three executors. Watermill is " +
			"`watermill-nats/v2` (package nats, JetStream) with a publisher, a router with one handler " +
			"and a subscriber: with its defaults (file storage, acks confirmed), at its fastest in order " +
			"(memory storage, `AckAsync`), and at its fastest without order (as before, 16 publishers and " +
			"16 subscribers in each process).",
		Variants: []Variant{
			{"SDK, file", func(r *Run) (Values, error) { return r.ourPipeline("sdk", file) }},
			{"Watermill, defaults", func(r *Run) (Values, error) {
				return r.watermill("wm", file, 1, false)
			}},
			{"Watermill, async", func(r *Run) (Values, error) {
				return r.watermill("wmAsync", memory, 1, true)
			}},
			{"Watermill, async, unordered", func(r *Run) (Values, error) {
				return r.watermill("wmUnordered", memory, manyWorkers, true)
			}},
		},
		Rows: []Row{
			{"source→map→sink, 128 B / Watermill at its best in order", "sdk", "wmAsync", rec,
				Goal{AtLeast: 20, Text: "≥ 20"}},
			{"… / Watermill at its best without order", "sdk", "wmUnordered", rec,
				Goal{AtLeast: 20, Text: "≥ 20"}},
			{"… / Watermill, its defaults", "sdk", "wm", rec, Goal{}},
		},
	}
}

func (r *Run) ourPipeline(series string, storage jetstream.StorageType) (Values, error) {
	f, err := r.flow(storage, 2)
	if err != nil {
		return nil, err
	}
	defer f.end()
	received, sent, err := f.pipeline(128)
	if err != nil {
		return nil, err
	}
	records, octets := rates(sent, received)
	return Values{series: records, series + " bytes": octets}, nil
}

func (r *Run) watermill(
	series string, storage jetstream.StorageType, workers int, async bool,
) (Values, error) {
	b, err := r.edgeBroker()
	if err != nil {
		return nil, err
	}
	l := r.load(b, 128)
	l.Subject, l.Next = "wm-"+r.nextID(), "wm-"+r.nextID()
	l.Workers, l.AckAsync = workers, async
	for _, subject := range []string{l.Subject, l.Next} {
		drop, err := r.plainStream(b, subject, storage)
		if err != nil {
			return nil, err
		}
		defer drop()
	}
	received, sent, err := r.wmParts(l)
	if err != nil {
		return nil, err
	}
	records, _ := rates(sent, received)
	return Values{series: records}, sameTotals(sent, received)
}

func (r *Run) wmParts(l worker.Load) (received, sent worker.Result, err error) {
	p := &Parts{run: r}
	defer p.end()
	last := l
	last.Subject = l.Next
	all := make(map[string]*role.Process)
	for _, part := range []struct {
		name string
		load worker.Load
	}{{"wm-sink", last}, {"wm-map", l}, {"wm-source", l}} {
		if all[part.name], err = p.start(part.name, part.load); err != nil {
			return received, sent, err
		}
		if err := all[part.name].Tell(role.Go, nil); err != nil {
			return received, sent, err
		}
	}
	if err := all["wm-source"].Hear(r, &sent); err != nil {
		return received, sent, err
	}
	if err := all["wm-sink"].Ask(r, worker.Expect, sent.Records, &received); err != nil {
		return received, sent, err
	}
	return received, sent, all["wm-map"].Tell(role.Stop, nil)
}
