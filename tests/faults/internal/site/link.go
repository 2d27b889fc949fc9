package site

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Mode is what a link does with what goes over it.
type Mode int32

// The modes. In all but the first two, connections stay open; those that are made meanwhile are accepted.
const (
	Open        Mode = iota
	Cut              // connections end, and new ones are refused
	Silent           // nothing arrives, in either direction
	Deaf             // what the server says does not arrive
	Slow             // 256 KiB a second, and 50 ms later
	SmallWindow      // a kilobyte in a millisecond, through a small receive buffer
)

// Amounts of Slow and SmallWindow.
const (
	slowRate   = 256 << 10 // bytes a second
	slowDelay  = 50 * time.Millisecond
	smallPiece = 1 << 10 // bytes
	pollMode   = 20 * time.Millisecond
)

// A link is the way of one party to one server. It is a proxy, so that it can fail.
type link struct {
	server   string // its address
	listener net.Listener
	mode     atomic.Int32
	all      sync.WaitGroup

	mu     sync.Mutex
	open   map[net.Conn]bool
	closed bool
}

func newLink(server string) (*link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	k := &link{server: server, listener: l, open: make(map[net.Conn]bool)}
	k.all.Go(k.accept)
	return k, nil
}

func (k *link) url() string { return "nats://" + k.listener.Addr().String() }

// set changes the mode. Whoever is connected when the mode becomes Cut, or is no longer Silent, Deaf or SmallWindow, must
// connect again: part of a message is missing, or the system does not widen the window of a connection again.
func (k *link) set(m Mode) {
	before := Mode(k.mode.Swap(int32(m)))
	if m == Cut || before == Silent || before == Deaf || before == SmallWindow {
		k.mu.Lock()
		for c := range k.open {
			_ = c.Close() // the copies of what it carries end
		}
		k.mu.Unlock()
	}
}

func (k *link) close() {
	_ = k.listener.Close() // accept ends
	k.mu.Lock()
	k.closed = true
	for c := range k.open {
		_ = c.Close() // the copies of what it carries end
	}
	k.mu.Unlock()
	k.all.Wait()
}

// add notes a connection, unless the link is closed.
func (k *link) add(c net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return false
	}
	k.open[c] = true
	return true
}

func (k *link) drop(c net.Conn) {
	_ = c.Close() // maybe for the second time
	k.mu.Lock()
	delete(k.open, c)
	k.mu.Unlock()
}

func (k *link) accept() {
	for {
		c, err := k.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(pollMode) // out of descriptors, for a while
			continue
		}
		if Mode(k.mode.Load()) == Cut || !k.add(c) {
			_ = c.Close()
			continue
		}
		k.all.Go(func() { k.carry(c) })
	}
}

func (k *link) carry(c net.Conn) {
	defer k.drop(c)
	s, err := net.Dial("tcp", k.server)
	if err != nil || !k.add(s) {
		if err == nil {
			_ = s.Close()
		}
		return
	}
	var both sync.WaitGroup
	both.Go(func() { k.copy(s, c, false); k.drop(s); k.drop(c) })
	both.Go(func() { k.copy(c, s, true); k.drop(s); k.drop(c) })
	both.Wait()
}

// copy carries bytes until one end closes.
func (k *link) copy(to, from net.Conn, down bool) {
	buffer := make([]byte, 64<<10)
	for {
		piece := buffer
		if Mode(k.mode.Load()) == SmallWindow {
			piece = buffer[:smallPiece]
			_ = from.(*net.TCPConn).SetReadBuffer(2 * smallPiece) // the system may refuse it
		}
		n, err := from.Read(piece)
		m := Mode(k.mode.Load())
		switch {
		case m == Silent, m == Deaf && down:
			n = 0 // lost
		case m == Slow:
			time.Sleep(slowDelay + time.Duration(n)*time.Second/slowRate)
		case m == SmallWindow:
			time.Sleep(time.Millisecond)
		}
		if n > 0 {
			if _, werr := to.Write(piece[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			if m := Mode(k.mode.Load()); (m == Silent || m == Deaf) && errors.Is(err, io.EOF) {
				k.await(from) // the other end must not learn of it
			}
			return
		}
	}
}

// await waits until a connection is closed by us.
func (k *link) await(c net.Conn) {
	for {
		k.mu.Lock()
		here := k.open[c]
		k.mu.Unlock()
		if m := Mode(k.mode.Load()); !here || m != Silent && m != Deaf {
			return
		}
		time.Sleep(pollMode)
	}
}
