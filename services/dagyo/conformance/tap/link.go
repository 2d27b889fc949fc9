package tap

import (
	"bufio"
	"errors"
	"net"
	"strings"
	"sync"
)

// A link is one relayed connection.
type link struct {
	tap            *Tap
	number         int
	client, server *side

	mu   sync.Mutex
	subs map[string]string // the client's subscriptions, by SID
}

// A side is one end of a link. Held messages are written by goroutines of their own.
type side struct {
	conn net.Conn
	mu   sync.Mutex
	w    *bufio.Writer
}

func (s *side) write(octets []byte, flush bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := s.w.Write(octets); err != nil || !flush {
		return err
	}
	return s.w.Flush()
}

func (l *link) close() {
	_ = l.client.conn.Close()
	_ = l.server.conn.Close()
}

// pump relays one direction until either side ends.
func (l *link) pump(from, to *side) {
	defer l.tap.gone(l)
	defer l.close()
	r := bufio.NewReaderSize(from.conn, 64<<10)
	for {
		m, err := read(r)
		if err != nil {
			return
		}
		m.Conn = l.number
		if err := l.relay(m, to, r.Buffered() == 0); err != nil {
			return
		}
	}
}

// relay does with a message what was decided; last says that nothing more is at hand.
func (l *link) relay(m Message, to *side, last bool) error {
	if m.Op == Other {
		return to.write(m.encode(), last)
	}
	l.note(m)
	d := l.tap.decision(&m)
	if err := l.say(d); err != nil {
		return err
	}
	if d.Block != nil && !l.tap.wait(d.Block) {
		return errClosed
	}
	switch {
	case d.Refuse:
		return errors.Join(l.client.write([]byte("-ERR 'Authorization Violation'\r\n"), true), errRefused)
	case d.Drop:
		return to.write(nil, last)
	case d.Until != nil:
		l.tap.wg.Go(func() { l.hold(m, to, d.Until) })
		return to.write(nil, last)
	}
	return to.write(m.encode(), last)
}

// hold relays a message once until is closed. It is lost with its connection.
func (l *link) hold(m Message, to *side, until <-chan struct{}) {
	if l.tap.wait(until) {
		_ = to.write(m.encode(), true)
	}
}

var (
	errClosed  = errors.New("the tap was closed")
	errRefused = errors.New("the login was refused")
)

// wait waits for the channel, and reports false when the tap is closed.
func (t *Tap) wait(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	case <-t.closed:
		return false
	}
}

// say writes what was decided to be said besides.
func (l *link) say(d Decision) error {
	for _, m := range d.ToClient {
		m.Op, m.SID = Msg, l.sid(m.Subject)
		if err := l.client.write(m.encode(), true); err != nil {
			return err
		}
	}
	for _, m := range d.ToServer {
		m.Op = Pub
		if err := l.server.write(m.encode(), true); err != nil {
			return err
		}
	}
	return nil
}

// note remembers the client's subscriptions.
func (l *link) note(m Message) {
	if m.Op != Sub {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.subs[m.SID] = m.Subject
}

// sid is the client's subscription to a subject, 0 where it has none.
func (l *link) sid(subject string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for sid, pattern := range l.subs {
		if Matches(pattern, subject) {
			return sid
		}
	}
	return "0"
}

// Matches reports whether a subscription to pattern hears subject.
func Matches(pattern, subject string) bool {
	p, s := strings.Split(pattern, "."), strings.Split(subject, ".")
	for i, token := range p {
		if token == ">" {
			return len(s) > i
		}
		if i >= len(s) || token != "*" && token != s[i] {
			return false
		}
	}
	return len(p) == len(s)
}
