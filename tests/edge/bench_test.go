package edge

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// One edge with its writer, reader and broker in one process, and the default window.
func BenchmarkEdge(b *testing.B) {
	for _, storage := range []jetstream.StorageType{jetstream.MemoryStorage, jetstream.FileStorage} {
		for _, size := range []int{128, 1 << 10, 64 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("%v/%d", storage, size), func(b *testing.B) { edge(b, storage, size) })
		}
	}
}

func edge(b *testing.B, storage jetstream.StorageType, size int) {
	e := setup(b, storage)
	e.addr.Window, e.addr.Frames = 8<<20, testFrames
	w, r := e.writer(), e.reader()
	data := make([]byte, size)
	b.SetBytes(int64(size))
	b.ResetTimer()
	wait := start(b, func() error {
		for range b.N {
			if err := w.Send(e.ctx, data); err != nil {
				return err
			}
		}
		return w.Close(e.ctx)
	})
	for range b.N {
		if _, err := r.Recv(e.ctx); err != nil {
			b.Fatal(err)
		}
	}
	wait()
}

// One record at a time: the latency that an edge adds.
func BenchmarkLoneRecord(b *testing.B) {
	e := setup(b, jetstream.MemoryStorage)
	w, r := e.writer(), e.reader()
	for b.Loop() {
		if err := w.Send(e.ctx, []byte("x")); err != nil {
			b.Fatal(err)
		}
		if _, err := r.Recv(e.ctx); err != nil {
			b.Fatal(err)
		}
	}
}
