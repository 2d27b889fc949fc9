//go:build docker

package docker

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/moby/client"

	"github.com/dagyo/dagyo/services/spawner/backend"
)

// A link is a connection to the Docker daemon that can be cut.
type link struct {
	listener net.Listener
	docker   *client.Client
	serving  sync.WaitGroup

	mu      sync.Mutex
	down    bool
	conns   map[net.Conn]bool
	refused chan struct{} // receives when a connection attempt finds the link down
}

func newLink(t *testing.T) *link {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &link{listener: l, docker: daemon(t), conns: map[net.Conn]bool{}, refused: make(chan struct{}, 1)}
	k.serving.Go(k.accept)
	t.Cleanup(func() {
		_ = l.Close()
		k.cut()
		k.serving.Wait()
	})
	return k
}

func (k *link) host() string { return "tcp://" + k.listener.Addr().String() }

func (k *link) accept() {
	for {
		near, err := k.listener.Accept()
		if err != nil {
			return
		}
		k.serving.Go(func() { k.serve(near) })
	}
}

func (k *link) serve(near net.Conn) {
	defer near.Close()
	far, err := k.docker.Dialer()(context.Background())
	if err != nil {
		return
	}
	defer far.Close()
	if !k.add(near, far) {
		return
	}
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1])
			_ = way[0].Close()
		})
	}
	both.Wait()
}

func (k *link) add(conns ...net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.down {
		select {
		case k.refused <- struct{}{}:
		default:
		}
		return false
	}
	for _, c := range conns {
		k.conns[c] = true
	}
	return true
}

// cut closes all connections, and rejects new ones until mend.
func (k *link) cut() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.down = true
	for c := range k.conns {
		_ = c.Close()
	}
	clear(k.conns)
}

func (k *link) mend() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.down = false
}

func TestEventsAreInterrupted(t *testing.T) {
	k := newLink(t)
	b := setup(t, func(c *Config) { c.Host = k.host() })
	missed, heard := b.start(t, b.spec("missed")), b.start(t, b.spec("heard"))
	k.cut()
	missed.Tell(t, "exit 3")
	missed.AwaitEnd(t)
	<-k.refused // detected; it is retrying
	k.mend()
	if e := b.exit(t, "missed"); e.Code != 3 {
		t.Errorf("exit is %+v", e)
	}
	heard.Tell(t, "exit 4")
	if e := b.exit(t, "heard"); e.Code != 4 {
		t.Errorf("exit is %+v", e)
	}
	if !strings.Contains(b.logged.String(), "cannot receive the events of executors") {
		t.Errorf("got log %q", b.logged)
	}
}

func TestDaemonIsUnreachable(t *testing.T) {
	k := newLink(t)
	b := setup(t, func(c *Config) { c.Host = k.host() })
	p := b.start(t, b.spec("one"))
	k.cut()
	var refusal *backend.StartError
	if err := b.Start(t.Context(), b.spec("two")); err == nil || errors.As(err, &refusal) {
		t.Errorf("Start: %v, want a transient error", err)
	}
	_, listing := b.List(t.Context())
	for call, err := range map[string]error{
		"Drain": b.Drain(t.Context(), "one"), "GiveUp": b.GiveUp(t.Context(), "one"),
		"Forget": b.Forget(t.Context(), "one"), "List": listing,
	} {
		if err == nil {
			t.Errorf("%s returned no error", call)
		}
	}
	k.mend()
	b.start(t, b.spec("two"))
	b.drain(t, "one")
	p.AwaitSigterm(t)
	p.Tell(t, "exit 0")
	b.exit(t, "one")
}

// An executor whose grace period ends while the daemon is unreachable is ended as soon as possible.
func TestGracePeriodEndsWhileTheDaemonIsUnreachable(t *testing.T) {
	k := newLink(t)
	b := setup(t, func(c *Config) { c.Host = k.host() })
	spec := b.spec("one")
	spec.Document.Drain.GracePeriod /= 3600 // a second
	p := b.start(t, spec)
	b.drain(t, "one")
	p.AwaitSigterm(t)
	k.cut()
	<-k.refused
	k.mend()
	if e := b.exit(t, "one"); e.Signal != "SIGKILL" {
		t.Errorf("exit is %+v", e)
	}
}

func TestNoDaemon(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for host, want := range map[string]string{
		"unix:///no/such/docker.sock": "/no/such/docker.sock",
		"tcp://127.0.0.1:1":           "127.0.0.1:1",
		"nonsense":                    "unable to parse docker host",
	} {
		start := time.Now()
		_, err := New(ctx, Config{Host: host})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v (after %s)", host, err, time.Since(start))
		}
	}
}
