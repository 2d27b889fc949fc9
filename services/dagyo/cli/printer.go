package cli

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"syscall"

	"github.com/dagyo/dagyo/pkg/client"
)

// printerBuffer is the size of a printer's buffer in bytes; a longer record is buffered alone.
const printerBuffer = 64 << 10

// A printer writes records to standard output or a file. Records printed during a write are written
// together afterwards. No lock is held during a write. Its methods may be called concurrently.
type printer struct {
	name string // of w, for messages
	w    io.Writer
	// failed is called once with an error of the writer that is not a closed pipe.
	failed func(error)
	ended  chan struct{} // closed when the goroutine returns

	mu      sync.Mutex
	changed sync.Cond
	pending []byte
	closed  bool
	err     error
}

// newPrinter starts a printer. The caller must close it.
func newPrinter(name string, w io.Writer, failed func(error)) *printer {
	p := &printer{name: name, w: w, failed: failed, ended: make(chan struct{})}
	p.changed.L = &p.mu
	go p.run()
	return p
}

// print appends the bytes that encode returns to the buffer. It waits while the buffer is full. It
// returns the writer's error; client.ErrEnough means that the pipe is closed.
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

// close writes the buffer and stops the goroutine. It returns the writer's error, unless that is a
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

// abandon makes print return the error at once. A blocked write is not interrupted.
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

// next waits for text to write, and takes it.
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

// reusable returns the buffer of a written text, unless it is that of a long record.
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
