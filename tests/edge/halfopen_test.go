package edge

import (
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	dagyo "github.com/dagyo/dagyo/pkg/broker"
)

// A swallower relays connections to a broker until it is told to lose the open ones. These stay open but transmit
// nothing, as if a cable were cut or a firewall had dropped their state.
type swallower struct {
	listener net.Listener
	server   string
	wg       sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
	lost  chan struct{} // closed when the open connections are lost
	reads bool          // lost data is still read
}

func swallow(t *testing.T, b *broker, reads bool) *swallower {
	t.Helper()
	u, err := url.Parse(b.srv.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &swallower{listener: l, server: u.Host, lost: make(chan struct{}), reads: reads}
	s.wg.Go(s.accept)
	t.Cleanup(s.close)
	return s
}

func (s *swallower) accept() {
	for {
		client, err := s.listener.Accept()
		if err != nil {
			return // closed
		}
		server, err := net.DialTimeout("tcp", s.server, limit)
		if err != nil {
			_ = client.Close()
			continue
		}
		s.mu.Lock()
		s.conns = append(s.conns, client, server)
		lost := s.lost
		s.mu.Unlock()
		s.wg.Go(func() { s.relay(client, server, lost) })
		s.wg.Go(func() { s.relay(server, client, lost) })
	}
}

func (s *swallower) relay(from, to net.Conn, lost <-chan struct{}) {
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			_ = to.Close()
			return
		}
		select {
		case <-lost:
			if s.reads {
				_, _ = io.Copy(io.Discard, from) // it returns when from is closed
			}
			return
		default:
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// lose loses the open connections.
func (s *swallower) lose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.lost)
	s.lost = make(chan struct{})
}

func (s *swallower) close() {
	_ = s.listener.Close()
	s.mu.Lock()
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *swallower) connect(t *testing.T, extra ...nats.Option) *dagyo.Link {
	t.Helper()
	link, err := dagyo.Connect(t.Context(), dagyo.Options{
		URL: "nats://" + s.listener.Addr().String(), Name: t.Name(), Extra: extra,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Close)
	return link
}

// awaitReconnect waits until the link has a working connection.
func awaitReconnect(t *testing.T, link *dagyo.Link, again <-chan nats.Status) {
	t.Helper()
	select {
	case <-again:
	case <-time.After(limit):
		t.Fatal("the lost connection was not replaced")
	}
	if err := link.FlushTimeout(limit); err != nil {
		t.Fatal(err)
	}
}

func TestHalfOpenConnectionIsReplaced(t *testing.T) {
	s := swallow(t, startBroker(t), true)
	link := s.connect(t, nats.PingInterval(20*time.Millisecond))
	again := link.StatusChanged(nats.CONNECTED)
	s.lose()
	awaitReconnect(t, link, again)
}

// A blocked write also delays the pings, so it has its own timeout.
func TestBlockedWriteEndsItsConnection(t *testing.T) {
	s := swallow(t, startBroker(t), false)
	link := s.connect(t, nats.FlusherTimeout(100*time.Millisecond))
	again := link.StatusChanged(nats.CONNECTED)
	s.lose()
	for range 64 { // more than the buffers of two sockets, and at most one reconnect buffer
		_ = link.Publish("nobody", make([]byte, 256<<10))
	}
	awaitReconnect(t, link, again)
}

func TestHalfOpenConnectionsAreDetectedInTime(t *testing.T) {
	o := swallow(t, startBroker(t), true).connect(t).Opts
	const within = 15 * time.Second
	if d := o.PingInterval * time.Duration(o.MaxPingsOut+1); d > within {
		t.Errorf("a silent connection is replaced after %v, want at most %v", d, within)
	}
	if o.FlusherTimeout > within {
		t.Errorf("a blocked write ends after %v, want at most %v", o.FlusherTimeout, within)
	}
}
