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

// refusals is how many large writes fail before the client is told that their connection is gone.
const refusals = 2

// A breaker dials connections. Once it is armed, every write to the one that is open fails, as with a broken
// pipe, and only after some does reading fail too.
type breaker struct {
	over chan struct{} // closed when the connection is gone

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

// await waits until the connection is gone.
func (b *breaker) await(e *bundle) {
	e.t.Helper()
	select {
	case <-b.over:
	case <-e.ctx.Done():
		e.t.Fatal("the writer sends no more")
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
			_ = c.Close() // what counts is the error below
		}
	}
	return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
}

// A write that fails costs nothing but time: what was lost is sent again.
func TestWritesThatFail(t *testing.T) {
	for name, unread := range map[string]bool{"directly": false, "while storing": true} {
		t.Run(name, func(t *testing.T) {
			b := &breaker{over: make(chan struct{})}
			e := setup(t, jetstream.MemoryStorage)
			e.out = e.broker.connect(nats.SetCustomDialer(b))
			e.addr.Window = 1 << 20 // for frames large enough
			w, r := e.writer(stream.AckTimeout(100*time.Millisecond)), e.reader()
			sizes := repeated(4<<10, 1000)
			first := 0
			if !unread { // the writer hears of its reader before it has more to send
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
