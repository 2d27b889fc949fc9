package stream

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// DefaultFrameTarget is the size in bytes to which frames grow while the connection is busy. With
	// one more small record, and the overhead of NATS, a frame fits into 64 KiB of memory.
	DefaultFrameTarget = 62 << 10
	// DefaultAckTimeout is how long a writer waits for the broker to confirm a frame before it
	// sends it again.
	DefaultAckTimeout = 5 * time.Second
	// MinWindow is the smallest supported window of an edge, in bytes.
	MinWindow = 1 << 10
)

type writerConfig struct {
	target     int
	ackTimeout time.Duration
	replies    *Replies
	name       string
	claims     bool
}

// A WriterOption changes a writer's defaults.
type WriterOption func(*writerConfig)

// FrameTarget sets the size in bytes to which frames grow (DefaultFrameTarget). Frames are at most twice
// as long; a writer uses less if the window or the broker's max_payload is small.
func FrameTarget(octets int) WriterOption {
	return func(c *writerConfig) { c.target = octets }
}

// AckTimeout sets how long to wait for a confirmation (DefaultAckTimeout).
func AckTimeout(d time.Duration) WriterOption {
	return func(c *writerConfig) { c.ackTimeout = d }
}

// WriteReplies makes a writer receive the broker's answers over a subscription that it shares.
func WriteReplies(x *Replies) WriterOption {
	return func(c *writerConfig) { c.replies = x }
}

// WriteAs sets the name under which the broker lets this writer publish. It matters on a sealed edge only.
func WriteAs(name string) WriterOption {
	return func(c *writerConfig) { c.name = name }
}

// Claims makes a writer store its first frame, also if a reader waits for it: of several writers of an edge, the broker
// accepts the first frame of one, and the others return ErrTaken. A job is the only writer of its outputs, and needs no
// claim; anybody may feed the inputs of a flow.
func Claims() WriterOption {
	return func(c *writerConfig) { c.claims = true }
}

// A Writer is the sending end of an edge. It must be released with Close or Abort.
//
// Send, SendBatch and Close must be called by one goroutine at a time; Abort and Count may be called at any
// time. The writer holds the growing frame, and at most a quarter of the window of unconsumed frames: the
// broker stores what exceeds that, and what the writer has held for long.
type Writer struct {
	edge   string
	cancel context.CancelCauseFunc
	wake   chan struct{} // there is something to send
	room   chan struct{} // the growing frame was taken
	ended  chan struct{} // closed when the sender has returned

	records, octets atomic.Int64
	dropped         *atomic.Int64
	claimed         atomic.Bool

	mu     sync.Mutex
	enc    *wire.Encoder
	filled bool // the growing frame has no room for the current record
	finish bool
	err    error // why the writer accepts no more
}

// NewWriter begins the edge at addr. It starts one goroutine, which Close or Abort wait for. The
// connection stays the caller's.
func NewWriter(
	js jetstream.JetStream, addr contract.Address, opts ...WriterOption,
) (*Writer, error) {
	cfg := writerConfig{target: DefaultFrameTarget, ackTimeout: DefaultAckTimeout}
	for _, opt := range opts {
		opt(&cfg)
	}
	ends, addr, err := newEnd(addr, cfg.name, addr.Reader)
	if err != nil {
		return nil, edgeError(addr.Subject, err)
	}
	target, limit, err := frameSizes(cfg.target, addr, js.Conn().MaxPayload()-wire.SealSize)
	if err != nil {
		return nil, edgeError(addr.Subject, err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	w := &Writer{
		edge:   addr.Subject,
		cancel: cancel,
		wake:   make(chan struct{}, 1),
		room:   make(chan struct{}, 1),
		ended:  make(chan struct{}), dropped: ends.dropped,
		enc: wire.NewEncoder(target, limit),
	}
	s, err := newSender(js, addr, ends, w, int64(limit), cfg)
	if err != nil {
		cancel(nil)
		return nil, edgeError(addr.Subject, err)
	}
	w.claimed.Store(!s.claims)
	go w.run(ctx, s)
	return w, nil
}

// frameSizes fits the target and the limit of frames to the window and the broker. The window must hold
// several frames, or writer and reader would take turns.
func frameSizes(target int, addr contract.Address, maxPayload int64) (int, int, error) {
	if addr.Window < MinWindow || addr.Frames < 1 {
		return 0, 0, fmt.Errorf("a window of %d bytes and %d frames is too small: the minimum is %d bytes and 1 frame",
			addr.Window, addr.Frames, MinWindow)
	}
	if addr.Slots > 0 && addr.Frames > addr.Slots {
		return 0, 0, fmt.Errorf("a window of %d frames is larger than the %d slots that store them", addr.Frames, addr.Slots)
	}
	limit := min(2*int64(target), addr.Window/4, MaxFrame)
	if maxPayload > 0 {
		limit = min(limit, maxPayload)
	}
	if limit < MinWindow/4 {
		return 0, 0, fmt.Errorf("frames of at most %d bytes are too small: the minimum is %d; raise the frame "+
			"target or the broker's max_payload", limit, MinWindow/4)
	}
	return int(limit / 2), int(limit), nil
}

func (w *Writer) run(ctx context.Context, s *sender) {
	defer close(w.ended)
	defer s.release()
	err := s.run(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err == nil {
		w.err = edgeError(w.edge, err)
	}
}

// Send copies one record of any length. It blocks while the window is full. Errors are ErrReaderClosed,
// ErrGone, ErrTaken, a *ProtocolError, ErrClosed, an error of the connection once that is closed, and the
// context's. If the context ends when a part of the record was taken, the edge cannot continue and the
// writer is aborted, unless the cause is ErrFinishing.
func (w *Writer) Send(ctx context.Context, record []byte) error {
	_, err := w.SendBatch(ctx, [][]byte{record})
	return err
}

// SendBatch sends records in order, like Send but at lower cost. It returns how many were taken
// completely; that is all of them unless there is an error.
func (w *Writer) SendBatch(ctx context.Context, records [][]byte) (taken int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	part := 0 // bytes of records[taken] that were taken
	for {
		n, cut, err := w.add(records[taken:], part)
		taken += n
		if part = cut; err != nil || taken == len(records) {
			return taken, err
		}
		if err := w.await(ctx, w.room); err != nil {
			if part == 0 {
				return taken, err
			}
			n, err := w.cutShort(ctx, records[taken:taken+1], part)
			return taken + n, err
		}
	}
}

// cutShort ends the sending of a record of which part bytes were taken: it finishes the record, or ends the edge.
func (w *Writer) cutShort(ctx context.Context, record [][]byte, part int) (taken int, err error) {
	if !errors.Is(context.Cause(ctx), ErrFinishing) {
		w.stop(fmt.Errorf("a record was cut short: %w", ctx.Err()))
		return 0, ctx.Err()
	}
	for taken == 0 && err == nil {
		_ = w.await(context.Background(), w.room) // Abort ends it
		taken, part, err = w.add(record, part)
	}
	return taken, errors.Join(err, ctx.Err())
}

// add puts records into the growing frame, without the first part bytes of the first one. It returns how
// many it took completely, and how many bytes it took of the next one.
func (w *Writer) add(records [][]byte, part int) (taken, cut int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.err != nil:
		return 0, part, w.err
	case w.finish:
		return 0, part, edgeError(w.edge, ErrClosed)
	}
	idle := w.enc.Empty()
	for _, record := range records {
		n, done := w.enc.Append(record[part:])
		if !done {
			w.filled, cut = true, part+n
			break
		}
		taken, part = taken+1, 0
		w.records.Add(1)
		w.octets.Add(int64(len(record)))
	}
	if idle || w.filled || w.enc.Full() {
		notify(w.wake)
	}
	return taken, cut, nil
}

// await returns when ch is ready or the sender has ended, or with the context's error.
func (w *Writer) await(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-w.ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// take hands the growing frame to the sender, if it is not empty and a frame of its size fits; unless any is
// set, only if it cannot grow further. full reports that only the window prevents it.
func (w *Writer) take(fits func(int) bool, any bool) (frame []byte, full bool, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	size := w.enc.Size()
	switch {
	case w.finish:
		size += wire.TrailerSize
	case w.enc.Empty(), !any && !w.filled && !w.enc.Full():
		return nil, false, nil
	}
	if !fits(size) {
		return nil, true, nil
	}
	w.filled = false
	notify(w.room)
	if w.finish {
		frame, err = w.enc.Finish()
		return frame, false, err
	}
	return w.enc.Take(storage(size)), false, nil
}

// storage returns storage for the frame after one of the given size: a stream of small frames does not need
// the storage of large ones.
func storage(octets int) []byte {
	if octets < DefaultFrameTarget/2 {
		return nil
	}
	if b, ok := frameStorage.Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 0, octets+octets/4)
}

// Close sends the end of the edge and returns when all of it is consumed or stored by the broker; it blocks
// while the window is full. The writer is released, whatever Close returns. If the reader needs no more
// records, Close succeeds: the reader has everything that it asked for. If the context ends first,
// frames that are not stored are dropped, as by Abort.
func (w *Writer) Close(ctx context.Context) error {
	w.mu.Lock()
	w.finish = true
	w.mu.Unlock()
	notify(w.wake)
	if err := w.await(ctx, nil); err != nil {
		w.stop(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.Is(w.err, ErrReaderClosed) {
		return nil
	}
	return w.err
}

// Abort releases the writer without ending the edge: the reader keeps waiting. It is a no-op after Close.
func (w *Writer) Abort() { w.stop(ErrClosed) }

// stop ends the sender and waits for it.
func (w *Writer) stop(why error) {
	w.cancel(why)
	<-w.ended
}

// Count returns the count of what Send has taken so far. After Close succeeds, none of it can be lost with
// this process.
func (w *Writer) Count() contract.Count {
	return contract.Count{Records: w.records.Load(), Bytes: w.octets.Load()}
}

// Claimed reports whether no other writer can have the edge: it is true for a writer without Claims. It may be called at any
// time.
func (w *Writer) Claimed() bool { return w.claimed.Load() }

// Dropped returns how many messages on the edge were not sealed by the other end. It may be called at any time.
func (w *Writer) Dropped() int64 { return w.dropped.Load() }

// notify makes ch ready, unless it already is.
func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
