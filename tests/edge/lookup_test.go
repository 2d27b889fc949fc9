package edge

import (
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
)

// When a stream of edges is lost, the jobs of a process look for it together.
func TestLostStreamIsLookedUpOnce(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	const jobs = 500
	nc := e.observer.Conn()
	asked, err := nc.SubscribeSync("$JS.API.CONSUMER.INFO.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	lost := &contract.Job{Stream: "EDGES-lost", Stop: "edges.lost.f.stop"}
	var all sync.WaitGroup
	for range jobs {
		all.Go(func() {
			if stopped, err := stream.Stopped(e.ctx, e.in, lost); !stopped {
				t.Errorf("a job whose stream is lost is not stopped: %v", err)
			}
		})
	}
	all.Wait()
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if n, _, err := asked.Pending(); err != nil || n == 0 || n > 20 {
		t.Errorf("%d jobs asked for the stream %d times, %v", jobs, n, err)
	}
}
