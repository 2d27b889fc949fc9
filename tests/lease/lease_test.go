package lease

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/tests/harness"
)

// A link is a JetStream connection that is slow and loses answers. A delay before a message is sent simulates a stopped
// process: the message is still sent, long after it was requested.
type link struct {
	jetstream.JetStream
	mu   sync.Mutex
	rand *rand.Rand // nil for a fast link that loses nothing
	// gone is set when nothing is sent any more.
	gone atomic.Bool
}

// fate draws what happens to one publication.
func (l *link) fate() (before, after time.Duration, lost bool) {
	if l.rand == nil {
		return 0, 0, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	delay := func() time.Duration {
		switch n := l.rand.IntN(20); {
		case n < 14:
			return 0
		case n < 18:
			return time.Duration(l.rand.IntN(600)) * time.Millisecond
		default:
			return time.Duration(l.rand.IntN(5000)) * time.Millisecond
		}
	}
	return delay(), delay(), l.rand.IntN(6) == 0
}

const answerWait = 5 * time.Second

func (l *link) PublishMsg(ctx context.Context, m *nats.Msg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if l.gone.Load() {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	before, after, lost := l.fate()
	wait(before)
	send, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerWait)
	defer cancel()
	ack, err := l.JetStream.PublishMsg(send, m, opts...)
	wait(after)
	if lost {
		<-ctx.Done()
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return ack, err
}

// wait is a delay that cannot be interrupted.
func wait(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}

func connect(t *testing.T) jetstream.JetStream {
	t.Helper()
	s := harness.StartServer(t, t.TempDir(), 1<<20)
	t.Cleanup(s.Stop)
	conn, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	if err := broker.Ensure(t.Context(), &broker.Link{JS: js}, broker.DefaultConfig()); err != nil {
		t.Fatal(err)
	}
	return js
}

// services and replicas are the numbers of concurrent competitors.
const (
	services = 40
	replicas = 3
	// duration is how long they compete, watchEvery the interval between two checks of the holders.
	duration   = 15 * time.Second
	watchEvery = 200 * time.Microsecond
)

func TestTwoReplicasNeverHoldTheLease(t *testing.T) {
	t.Parallel()
	js := connect(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	ctx, end := context.WithTimeout(t.Context(), duration)
	defer end()
	all := make([][]*broker.Lease, services)
	var competing sync.WaitGroup
	var terms atomic.Int64
	for s := range all {
		for n := range replicas {
			r := rand.New(rand.NewPCG(seed, uint64(s*replicas+n)))
			l := broker.NewLease(&link{JetStream: js, rand: r}, fmt.Sprintf("s%d", s))
			all[s] = append(all[s], l)
			stay := rand.New(rand.NewPCG(seed+1, uint64(s*replicas+n)))
			competing.Go(func() { compete(ctx, l, stay, &terms) })
		}
	}
	watch(ctx, t, all)
	competing.Wait()
	if terms.Load() < services {
		t.Errorf("%d terms of %d services: no lease was acquired again", terms.Load(), services)
	}
	t.Logf("%d terms of %d services", terms.Load(), services)
}

// compete acquires the lease repeatedly, for a while each time.
func compete(ctx context.Context, l *broker.Lease, r *rand.Rand, terms *atomic.Int64) {
	for ctx.Err() == nil {
		held, release, err := l.Acquire(ctx)
		if err != nil {
			return
		}
		terms.Add(1)
		select {
		case <-held.Done():
		case <-time.After(time.Duration(r.IntN(6000)) * time.Millisecond):
		}
		release()
	}
}

// watch looks for two holders of the same lease: one that holds it before and after a check of the other.
func watch(ctx context.Context, t *testing.T, all [][]*broker.Lease) {
	ticks := time.NewTicker(watchEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
		for s, leases := range all {
			for i, a := range leases {
				for _, b := range leases[i+1:] {
					if a.Held() && b.Held() && a.Held() {
						t.Fatalf("two replicas of s%d hold its lease", s)
					}
				}
			}
		}
	}
}

// A holder that disappears is replaced, and by then no longer considers itself the leader. `make bench` measures how
// long that takes.
func TestADisappearedHolderIsReplaced(t *testing.T) {
	t.Parallel()
	js := connect(t)
	var running sync.WaitGroup
	for n := range 30 {
		running.Go(func() { replace(t, js, fmt.Sprintf("s%d", n), time.Duration(n)*37*time.Millisecond) })
	}
	running.Wait()
}

// replace makes a holder disappear at a phase of its renewals, and waits for the next one.
func replace(t *testing.T, js jetstream.JetStream, service string, phase time.Duration) {
	ctx, end := context.WithCancel(t.Context())
	defer end()
	first := &link{JetStream: js}
	vanished := broker.NewLease(first, service)
	if _, _, err := vanished.Acquire(ctx); err != nil {
		t.Error(err)
		return
	}
	wait(phase)
	first.gone.Store(true)
	next := broker.NewLease(js, service)
	if _, _, err := next.Acquire(ctx); err != nil {
		t.Error(err)
		return
	}
	if vanished.Held() {
		t.Errorf("the holder of %s that disappeared still relies on its lease", service)
	}
}
