package e2e

import (
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/tests/harness"
)

// Services that start before JetStream is available wait for it.
func TestServicesWaitForJetStream(t *testing.T) {
	t.Run("the server starts later", func(t *testing.T) {
		o := harness.DefaultOptions()
		o.Processes = harness.Services
		o.Late = true
		s := harness.Start(t, o)
		for _, name := range harness.Services {
			if p := s.Processes(name); len(p) != 1 || !p[0].Alive() {
				t.Errorf("the %s did not wait for a server", name)
			}
		}
		s.Server.Begin(t)
		serves(t, s)
	})
	t.Run("JetStream is enabled later", func(t *testing.T) {
		o := harness.DefaultOptions()
		o.Processes = harness.Services
		o.WithoutJetStream = true
		s := harness.Start(t, o)
		for _, name := range harness.Services {
			s.Processes(name)[0].AwaitSaid(t, "JetStream is not ready")
		}
		s.Server.EnableJetStream(t)
		serves(t, s)
	})
	t.Run("JetStream answers after 8 s", func(t *testing.T) {
		o := harness.DefaultOptions()
		o.Processes = harness.Services
		o.Through = func(server string) string { return slowProxy(t, server, 8*time.Second) }
		serves(t, harness.Start(t, o))
	})
}

// serves checks that flows run, and that no service has ended.
func serves(t *testing.T, s *harness.Stack) {
	t.Helper()
	c := s.Client(t)
	for _, name := range harness.Services {
		s.Leader(t, name)
	}
	applyGood(t, c, 10, 1)
	c.Submit(t, "first", words)
	completed(t, c.AwaitEnd(t, "first"))
	for _, name := range harness.Services {
		for _, p := range s.Processes(name) {
			if !p.Alive() {
				t.Errorf("a %s has ended:\n%s", name, p.Said())
			}
		}
	}
}

// slowProxy relays between clients and the server. After a client has connected, it delays the server's first answers
// from JetStream.
func slowProxy(t *testing.T, server string, late time.Duration) string {
	t.Helper()
	return proxy(t, func(ctx context.Context, client net.Conn) {
		pass(ctx, client, strings.TrimPrefix(server, "nats://"), late)
	})
}

// proxy listens during the test, hands each connection to relay, and returns its URL. relay must return when its context ends.
func proxy(t *testing.T, relay func(ctx context.Context, client net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var open sync.WaitGroup
	open.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			open.Go(func() { relay(ctx, client) })
		}
	})
	t.Cleanup(func() { cancel(); _ = l.Close(); open.Wait() })
	return "nats://" + l.Addr().String()
}

func pass(ctx context.Context, client net.Conn, server string, late time.Duration) {
	up, err := net.Dial("tcp", server)
	if err != nil {
		_ = client.Close()
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = client.Close(); _ = up.Close() })
	defer stop()
	var jetStream atomic.Bool
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(up, client); _ = up.Close() })
	both.Go(func() {
		defer client.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := up.Read(buf)
			if n > 0 && strings.HasPrefix(string(buf[:n]), "MSG") && !jetStream.Swap(true) {
				t := time.NewTimer(late)
				select {
				case <-t.C:
				case <-ctx.Done():
				}
				t.Stop()
			}
			if n > 0 {
				if _, err := client.Write(buf[:n]); err != nil {
					return
				}
			}
			if err != nil {
				return
			}
		}
	})
	both.Wait()
}

// Events may be kept for any time of at least a minute, whatever the deadlines of flows.
func TestAnyAgeOfEvents(t *testing.T) {
	for _, age := range []time.Duration{time.Minute, 144 * time.Hour, 10_000 * time.Hour} {
		c := broker.DefaultConfig()
		c.EventsMaxAge = age
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	}
	o := harness.DefaultOptions()
	o.Planner.Broker.EventsMaxAge, o.Validator.Broker.EventsMaxAge = time.Minute, time.Minute
	o.Spawner.Broker.EventsMaxAge, o.Aggregator.Broker.EventsMaxAge = time.Minute, time.Minute
	s := harness.Start(t, o)
	c := s.Client(t)
	applyGood(t, c, 10, 1)
	c.Submit(t, "first", words)
	completed(t, c.AwaitEnd(t, "first"))
}
