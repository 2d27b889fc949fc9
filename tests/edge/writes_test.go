package edge

import (
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/stream"
)

// refusals is the number of large writes that fail before the client learns that the connection is lost.
const refusals = 2

// A breaker dials connections. Once it is armed, every write to the open one fails, as with a broken pipe. Reads fail
// only after several writes.
type breaker struct {
	over chan struct{} // closed when the connection is lost

	mu   sync.Mutex
	last *breaking
}

func (b *breaker) Dial(network, address string) (net.Conn, error) {
	conn, err := net.DialTimeout(network, address, limit)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last = &breaking{Conn: conn, over: b.over}
	return b.last, nil
}

func (b *breaker) arm() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last.broken.Store(true)
}

// await waits until the connection is lost.
func (b *breaker) await(e *bundle) {
	e.t.Helper()
	select {
	case <-b.over:
	case <-e.ctx.Done():
		e.t.Fatal("the writer sends nothing")
	}
}

type breaking struct {
	net.Conn
	over   chan struct{}
	broken atomic.Bool
	large  int // writes that failed
}

// largeWrite is the size from which nats.go writes in the call of Publish itself, which it does under a lock.
const largeWrite = 32 << 10

func (c *breaking) Write(p []byte) (int, error) {
	if !c.broken.Load() {
		return c.Conn.Write(p)
	}
	if len(p) >= largeWrite {
		c.large++
		if c.large == refusals {
			close(c.over)
			_ = c.Close() // only the error below matters
		}
	}
	return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
}

// A failed write only costs time: lost messages are sent again.
func TestFailedWrites(t *testing.T) {
	for name, unread := range map[string]bool{"directly": false, "while storing": true} {
		t.Run(name, func(t *testing.T) {
			b := &breaker{over: make(chan struct{})}
			e := setup(t, jetstream.MemoryStorage)
			e.out = e.broker.connect(nats.SetCustomDialer(b))
			e.addr.Window = 1 << 20
			w, r := e.writer(stream.AckTimeout(100*time.Millisecond)), e.reader()
			sizes := repeated(largeWrite+1, 100) // so that every frame is a large write
			first := 0
			if !unread { // the writer learns of its reader before it has more to send
				wait := start(t, func() error { return w.Send(e.ctx, record(0, sizes[0])) })
				if err := expectOne(e.ctx, r, 0, sizes[0]); err != nil {
					t.Fatal(err)
				}
				wait()
				first = 1
			}
			b.arm()
			wait := start(t, func() error { return sendFrom(e.ctx, w, sizes, first) })
			b.await(e)
			if err := expect(e.ctx, r, sizes, first); err != nil {
				t.Fatal(err)
			}
			wait()
		})
	}
}
