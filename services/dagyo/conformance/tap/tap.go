package tap

import (
	"bufio"
	"fmt"
	"net"
	"net/url"
	"sync"

	"github.com/dagyo/dagyo/services/dagyo/conformance/journal"
)

// The journal keeps all of short payloads, and of all events; of others the beginning.
const (
	keepShort     = 4 << 10
	keepBeginning = 64
)

// A Decision is what becomes of a message. The zero value lets it pass.
type Decision struct {
	// Drop loses the message.
	Drop bool
	// Until holds the message, and only it, until the channel is closed.
	Until <-chan struct{}
	// Block holds the message and all behind it, as a slow network does, until the channel is closed.
	Block <-chan struct{}
	// Refuse answers a Connect as a server does that does not know the credentials, and ends the connection.
	Refuse bool
	// ToClient and ToServer are said besides. What goes to the client is a Msg, and needs no SID.
	ToClient, ToServer []Message
}

// Pass is the decision to do nothing.
var Pass = Decision{}

// A Tap is a relay in front of one server.
type Tap struct {
	// Journal has every message that was let pass or was held, from the moment it came.
	Journal journal.Journal[Message]

	listener net.Listener
	closed   chan struct{}
	wg       sync.WaitGroup

	mu     sync.Mutex
	server string
	decide func(*Message) Decision
	watch  func(Message)
	down   bool
	conns  int
	links  map[*link]struct{}
}

// Start relays to the server at a NATS URL. Close the tap.
func Start(server string) (*Tap, error) {
	t := &Tap{closed: make(chan struct{}), links: map[*link]struct{}{}}
	if err := t.Redirect(server); err != nil {
		return nil, err
	}
	l, err := listen()
	if err != nil {
		return nil, fmt.Errorf("relay to %s: %w", server, err)
	}
	t.listener = l
	t.wg.Go(t.accept)
	return t, nil
}

// listen uses an address of this machine that other programs do not connect to. On 127.0.0.1, one that still dials a port
// that its server has left would be taken for the executor.
func listen() (net.Listener, error) {
	l, err := net.Listen("tcp", "127.77.0.1:0")
	if err != nil { // the loopback interface has only one address on other systems than Linux
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	return l, err
}

// Redirect has new connections go to the server at another NATS URL.
func (t *Tap) Redirect(server string) error {
	u, err := url.Parse(server)
	if err != nil {
		return fmt.Errorf("relay to %s: %w", server, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.server = u.Host
	return nil
}

// URL is where clients connect to.
func (t *Tap) URL() string { return "nats://" + t.listener.Addr().String() }

// Decide sets what decides on each message; nil lets all pass. The message may be changed. It is
// called by many goroutines, one for each direction of each connection.
func (t *Tap) Decide(decide func(*Message) Decision) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.decide = decide
}

// Watch sets who is called with each message that is written down, by many goroutines, before the message goes on.
func (t *Tap) Watch(watch func(Message)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.watch = watch
}

// Cut ends the client's connections.
func (t *Tap) Cut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for l := range t.links {
		l.close()
	}
}

// Down ends the client's connections and takes none until Up.
func (t *Tap) Down() {
	t.setDown(true)
	t.Cut()
}

// Up takes connections again.
func (t *Tap) Up() { t.setDown(false) }

func (t *Tap) setDown(down bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.down = down
}

// Close ends everything and waits for it.
func (t *Tap) Close() {
	close(t.closed)
	_ = t.listener.Close()
	t.Cut()
	t.wg.Wait()
}

func (t *Tap) accept() {
	for {
		client, err := t.listener.Accept()
		if err != nil {
			return // closed
		}
		t.mu.Lock()
		address := t.server
		t.mu.Unlock()
		server, err := net.Dial("tcp", address)
		if err != nil {
			_ = client.Close()
			continue
		}
		t.begin(client, server)
	}
}

// begin relays a new connection, unless nobody is to connect.
func (t *Tap) begin(client, server net.Conn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := &link{
		tap: t, subs: map[string]string{}, client: &side{conn: client, w: bufio.NewWriterSize(client, 64<<10)},
		server: &side{conn: server, w: bufio.NewWriterSize(server, 64<<10)},
	}
	if t.down || isClosed(t.closed) {
		l.close()
		return
	}
	t.conns++
	l.number = t.conns
	t.links[l] = struct{}{}
	t.wg.Go(func() { l.pump(l.client, l.server) })
	t.wg.Go(func() { l.pump(l.server, l.client) })
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (t *Tap) gone(l *link) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.links, l)
}

// decision asks what becomes of a message, and writes it down.
func (t *Tap) decision(m *Message) Decision {
	t.mu.Lock()
	decide, watch := t.decide, t.watch
	t.mu.Unlock()
	d := Pass
	if decide != nil {
		d = decide(m)
	}
	if d.Drop {
		return d
	}
	if watch != nil {
		watch(*m)
	}
	t.Journal.Add(kept(*m))
	return d
}

// kept is what the journal keeps of a message.
func kept(m Message) Message {
	event := m.IsEvent()
	m.head, m.line = nil, ""
	if !event && len(m.Data) > keepShort {
		m.Data = append([]byte(nil), m.Data[:keepBeginning]...)
	}
	return m
}
