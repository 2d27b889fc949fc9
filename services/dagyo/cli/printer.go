package cli

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"github.com/dagyo/dagyo/services/dagyo/client"
)

// printerBuffer is how much waits for a printer's writer, in bytes; a longer record waits alone.
const printerBuffer = 64 << 10

// A printer writes records to standard output or a file. What is printed while a write is under way
// goes out together with the next one. No lock is held over a write. Its methods may be called
// concurrently.
type printer struct {
	name string // of what w is, for messages
	w    io.Writer
	// failed is called once with an error of the writer that is not a closed pipe.
	failed func(error)
	ended  chan struct{} // the goroutine has

	mu      sync.Mutex
	changed sync.Cond
	pending []byte
	closed  bool
	err     error
}

// newPrinter starts a printer. Close it.
func newPrinter(name string, w io.Writer, failed func(error)) *printer {
	p := &printer{name: name, w: w, failed: failed, ended: make(chan struct{})}
	p.changed.L = &p.mu
	go p.run()
	return p
}

// print appends bytes to what is to be written, as encode makes them. It waits while the writer is
// slower. The error is the writer's; client.ErrEnough means that the pipe is closed.
func (p *printer) print(encode func(dst []byte) []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.pending) >= printerBuffer && p.err == nil {
		p.changed.Wait()
	}
	if p.err != nil {
		return p.err
	}
	p.pending = encode(p.pending)
	p.changed.Broadcast()
	return nil
}

// close writes what is pending and ends the goroutine. The error is the writer's, if that was not a
// closed pipe.
func (p *printer) close() error {
	p.mu.Lock()
	p.closed = true
	p.changed.Broadcast()
	p.mu.Unlock()
	<-p.ended
	if errors.Is(p.err, client.ErrEnough) {
		return nil
	}
	return p.err
}

// abandon makes print return the error at once. A write that blocks goes on.
func (p *printer) abandon(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err == nil {
		p.err = err
	}
	p.changed.Broadcast()
}

// run writes until the printer is closed or the writer fails.
func (p *printer) run() {
	defer close(p.ended)
	var spare []byte
	for {
		text, ok := p.next(spare)
		if !ok {
			return
		}
		_, err := p.w.Write(text)
		spare = reusable(text)
		if err != nil {
			p.fail(err)
		}
	}
}

// next waits for something to write, and takes it.
func (p *printer) next(spare []byte) (text []byte, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.pending) == 0 && !p.closed && p.err == nil {
		p.changed.Wait()
	}
	if len(p.pending) == 0 || p.err != nil {
		return nil, false
	}
	text, p.pending = p.pending, spare
	p.changed.Broadcast()
	return text, true
}

// reusable returns the storage of a text that was written, unless it is that of a long record.
func reusable(text []byte) []byte {
	if cap(text) > 4*printerBuffer {
		return nil
	}
	return text[:0]
}

func (p *printer) fail(err error) {
	if errors.Is(err, syscall.EPIPE) {
		p.abandon(client.ErrEnough)
		return
	}
	err = fmt.Errorf("cannot write %s: %w", p.name, reasonOf(err))
	p.abandon(err)
	p.failed(err)
}
