package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/snapshot"
	"github.com/dagyo/dagyo/tests/harness"
)

// Services that start lose their connection while they restore their states: a request is never answered. They do not wait
// for its answer until it times out.
func TestServicesStartAgainAfterALostRequest(t *testing.T) {
	for _, request := range []string{"$JS.API.STREAM.INFO.EVENTS", "$JS.API.STREAM.INFO.SNAPSHOTS"} {
		t.Run(request, func(t *testing.T) {
			t.Parallel()
			o := harness.DefaultOptions()
			o.Processes = harness.Services
			o.Through = func(server string) string { return cuttingProxy(t, server, request) }
			s := harness.Start(t, o)
			for _, name := range harness.Services {
				if said := s.Leader(t, name).Said(); !strings.Contains(said, broker.ErrInterrupted.Error()) {
					t.Errorf("the %s was not interrupted:\n%s", name, said)
				}
			}
			serves(t, s)
		})
	}
}

// NATS is restarted while all services start, at any moment of that. Flows complete afterwards.
func TestBrokerRestartsWhileServicesStart(t *testing.T) {
	const rounds, flows = 4, 20
	for name, processes := range map[string][]string{"in one process": nil, "in processes": harness.Services} {
		t.Run(name, func(t *testing.T) {
			o := harness.DefaultOptions()
			o.Processes = processes
			s := harness.Start(t, o)
			c := s.Client(t)
			for round := range rounds {
				s.RestartAll(t)
				later := rand.N(500 * time.Millisecond)
				if round%2 == 0 {
					later /= 10 // services in this process start in some milliseconds
				}
				<-time.After(later)
				s.Server.Restart(t)
				c.AwaitFlush(t)
				t.Logf("round %d: restarted after %v", round, later)
				id := func(i int) string { return fmt.Sprintf("flow-%d-%d", round, i) }
				for i := range flows {
					c.Submit(t, id(i), `{"nodes": {}, "edges": []}`)
				}
				for i := range flows {
					completed(t, c.AwaitEnd(t, id(i)))
				}
			}
		})
	}
}

// cuttingProxy relays between a client and the server. It closes the first connection that contains a request, instead of
// passing it on.
func cuttingProxy(t *testing.T, server, request string) string {
	t.Helper()
	var cut atomic.Bool
	return proxy(t, func(ctx context.Context, client net.Conn) {
		passUntil(ctx, client, strings.TrimPrefix(server, "nats://"), func(sent []byte) bool {
			return bytes.Contains(sent, []byte(request)) && cut.CompareAndSwap(false, true)
		})
	})
}

// passUntil relays until a side closes its connection, or over returns true for what the client has sent last.
func passUntil(ctx context.Context, client net.Conn, server string, over func(sent []byte) bool) {
	up, err := net.Dial("tcp", server)
	if err != nil {
		_ = client.Close()
		return
	}
	end := func() { _ = client.Close(); _ = up.Close() }
	stop := context.AfterFunc(ctx, end)
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { defer end(); _, _ = io.Copy(client, up) })
	both.Go(func() {
		defer end()
		const most = 4 << 10 // longer than a request
		var sent []byte
		buf := make([]byte, 64<<10)
		for {
			n, err := client.Read(buf)
			if sent = append(sent[max(0, len(sent)-most):], buf[:n]...); n > 0 && over(sent) {
				return
			}
			if _, failed := up.Write(buf[:n]); err != nil || failed != nil {
				return
			}
		}
	})
	both.Wait()
}

// A start does not continue from an older snapshot because the broker cannot answer now: the events after that one may have
// been deleted.
func TestSnapshotsThatCannotBeReadNow(t *testing.T) {
	s := harness.Start(t, harness.DefaultOptions())
	c := s.Client(t)
	c.Submit(t, "flow", `{"nodes": {}, "edges": []}`)
	c.AwaitEnd(t, "flow")
	events, err := c.JS.Stream(t.Context(), contract.StreamEvents)
	if err != nil {
		t.Fatal(err)
	}
	last, err := events.GetMsg(t.Context(), events.CachedInfo().State.LastSeq)
	if err != nil {
		t.Fatal(err)
	}
	store := snapshot.Store{JS: c.JS}
	d := snapshot.Description{Service: "test", Place: event.Place{Seq: last.Sequence, At: last.Time}}
	if err := store.Put(t.Context(), d, []byte("state")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		err     error
		skipped int
	}{{nats.ErrNoResponders, 0}, {broker.ErrInterrupted, 0}, {errors.New("malformed"), 1}} {
		skipped := 0
		err := store.Load(t.Context(), d,
			func(snapshot.Description, []byte) error { return fmt.Errorf("read chunk 0: %w", tt.err) },
			func(snapshot.Description, error) error { skipped++; return nil })
		if skipped != tt.skipped || (skipped == 0) != errors.Is(err, tt.err) {
			t.Errorf("%v: skipped %d, want %d; %v", tt.err, skipped, tt.skipped, err)
		}
	}
}
