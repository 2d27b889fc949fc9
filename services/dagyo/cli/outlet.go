package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"sync"

	"golang.org/x/term"
)

// outletBuffer is the size of an outlet's queue in bytes; a longer text is queued alone.
const outletBuffer = 64 << 10

// errAbandoned is the error of a write that was abandoned: the reader is blocked, and a signal stops the command.
var errAbandoned = errors.New("output abandoned: the reader is blocked, and the command was interrupted")

// An outlet writes to standard output or standard error, or to both if they are the same file, in its own goroutine,
// so that a blocked reader blocks neither signals nor the display. On a terminal, an outlet can show a status below
// the text. Its methods may be called concurrently.
type outlet struct {
	mu      sync.Mutex
	queue   []piece
	size    int           // bytes in the queue and being written
	moved   chan struct{} // closed and replaced after each write
	wake    chan struct{}
	ended   chan struct{} // closed when the goroutine returns; nil before it is started
	closed  bool
	screen  *screen
	status  []string
	changed bool // the status differs from the shown one
}

// A piece is text on its way to one file.
type piece struct {
	to   *sink
	text []byte
}

func newOutlet() *outlet {
	return &outlet{moved: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// A sink writes to one file through an outlet. It implements io.Writer: a write waits for space in the queue, and
// returns before the text is written. Its error is that of an earlier write.
type sink struct {
	w      io.Writer
	outlet *outlet
	// abandon, when closed, ends the wait for space; err is the error of a write. The outlet's lock guards both.
	abandon <-chan struct{}
	err     error
}

// sinks returns sinks for standard output and standard error. They share an outlet if they are the same file, so that
// their texts stay in order.
func sinks(out, err io.Writer, abandon <-chan struct{}) (stdout, stderr *sink) {
	o := newOutlet()
	stdout = &sink{w: out, outlet: o, abandon: abandon}
	if !sameFile(out, err) {
		o = newOutlet()
	}
	return stdout, &sink{w: err, outlet: o, abandon: abandon}
}

func sameFile(a, b io.Writer) bool {
	if a == b {
		return true
	}
	fa, okA := a.(*os.File)
	fb, okB := b.(*os.File)
	if !okA || !okB {
		return false
	}
	ia, errA := fa.Stat()
	ib, errB := fb.Stat()
	return errA == nil && errB == nil && os.SameFile(ia, ib)
}

// Write implements io.Writer.
func (s *sink) Write(text []byte) (int, error) {
	for {
		room, abandon, err := s.add(text)
		switch {
		case err != nil:
			return 0, err
		case room == nil:
			return len(text), nil
		}
		select {
		case <-room:
		case <-abandon:
			return 0, errAbandoned
		}
	}
}

// failure returns the error of an earlier write.
func (s *sink) failure() error {
	s.outlet.mu.Lock()
	defer s.outlet.mu.Unlock()
	return s.err
}

// patient makes writes wait for space even after a signal, until the returned function is called.
func (s *sink) patient() (end func()) {
	o, over := s.outlet, make(chan struct{})
	o.mu.Lock()
	defer o.mu.Unlock()
	before := s.abandon
	s.abandon = over
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		s.abandon = before
		close(over)
	}
}

// add queues the text if there is space. Otherwise it returns a channel that is closed when there may be space.
func (s *sink) add(text []byte) (full, abandon <-chan struct{}, err error) {
	o := s.outlet
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case s.err != nil:
		return nil, nil, s.err
	case o.closed:
		return nil, nil, os.ErrClosed
	case o.size >= outletBuffer:
		return o.moved, s.abandon, nil
	}
	if n := len(o.queue); n > 0 && o.queue[n-1].to == s {
		o.queue[n-1].text = append(o.queue[n-1].text, text...)
	} else {
		o.queue = append(o.queue, piece{s, slices.Clone(text)})
	}
	o.size += len(text)
	o.notify()
	return nil, nil, nil
}

// A through is a sink whose writes return after the text is written, with the error of writing it.
type through struct{ *sink }

// Write implements io.Writer.
func (t through) Write(text []byte) (int, error) {
	if n, err := t.sink.Write(text); err != nil {
		return n, err
	}
	for {
		moved, abandon, err := t.left()
		if err != nil {
			return 0, err
		}
		if moved == nil {
			return len(text), nil
		}
		select {
		case <-moved:
		case <-abandon:
			return 0, errAbandoned
		}
	}
}

// flush waits until everything in the queue is written. It returns the error of the sink's writes, or the context's.
func (s *sink) flush(ctx context.Context) error {
	for {
		moved, _, err := s.left()
		if moved == nil {
			return err
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// left returns a channel that is closed after the next write, nil if the queue is empty, and a channel that ends the
// wait.
func (s *sink) left() (moved, abandon <-chan struct{}, err error) {
	o := s.outlet
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.size == 0 || s.err != nil {
		return nil, nil, s.err
	}
	return o.moved, s.abandon, nil
}

// idle reports whether nothing is queued or being written.
func (s *sink) idle() bool {
	s.outlet.mu.Lock()
	defer s.outlet.mu.Unlock()
	return s.outlet.size == 0
}

// notify wakes the goroutine, and starts it the first time. The caller holds the lock.
func (o *outlet) notify() {
	if o.ended == nil {
		o.ended = make(chan struct{})
		go o.run()
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// close makes the goroutine write the queue and return. The returned channel is closed then.
func (o *outlet) close() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	if o.ended == nil {
		o.ended = make(chan struct{})
		close(o.ended)
	}
	o.notify()
	return o.ended
}

// show sets the status without waiting until it is on the screen; nil removes it.
func (o *outlet) show(on *screen, lines []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if slices.Equal(lines, o.status) {
		return
	}
	o.screen, o.status, o.changed = on, lines, true
	o.notify()
}

func (o *outlet) run() {
	defer close(o.ended)
	for range o.wake {
		for {
			work, more := o.take()
			if !more {
				break
			}
			o.wrote(work, work.write())
		}
		if o.over() {
			return
		}
	}
}

func (o *outlet) over() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closed && len(o.queue) == 0 && !o.changed
}

// A batch is text that the goroutine writes at once, without holding the lock.
type batch struct {
	pieces []piece
	screen *screen
	status []string
}

func (o *outlet) take() (b batch, more bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 && !o.changed {
		return b, false
	}
	b = batch{o.queue, o.screen, o.status}
	o.queue, o.changed = nil, false
	return b, true
}

// wrote records the result of a batch.
func (o *outlet) wrote(b batch, errs []error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, p := range b.pieces {
		o.size -= len(p.text)
		if p.to.err == nil {
			p.to.err = errs[i]
		}
	}
	close(o.moved)
	o.moved = make(chan struct{})
}

// write writes the pieces, and the status below them.
func (b batch) write() []error {
	errs := make([]error, len(b.pieces))
	if b.screen == nil {
		for i, p := range b.pieces {
			errs[i] = p.write()
		}
		return errs
	}
	for i, p := range b.pieces {
		if p.to.w == b.screen.w {
			errs[i] = b.screen.print(p.text)
			continue
		}
		b.screen.clear()
		b.screen.passed(p.text)
		errs[i] = p.write()
	}
	b.screen.draw(b.status)
	return errs
}

func (p piece) write() error {
	if err := p.to.failed(); err != nil {
		return err
	}
	_, err := p.to.w.Write(p.text)
	return err
}

func (s *sink) failed() error {
	s.outlet.mu.Lock()
	defer s.outlet.mu.Unlock()
	return s.err
}

// fileOf returns the file behind a writer, or nil.
func fileOf(w io.Writer) *os.File {
	if s, ok := w.(*sink); ok {
		w = s.w
	}
	f, _ := w.(*os.File)
	return f
}

func isTerminal(w io.Writer) bool {
	f := fileOf(w)
	return f != nil && term.IsTerminal(int(f.Fd()))
}
