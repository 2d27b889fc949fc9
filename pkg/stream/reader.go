package stream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// report is the longest time between two credits while there is progress.
	report = time.Second
	// creditShare is the part of a window after which credit is given: an eighth.
	creditShare = 8
	// creditStep is the number of bytes after which a reader always gives credit to a writer that sends directly:
	// a full frame. Its window may be small.
	creditStep = DefaultFrameTarget
)

type readerConfig struct {
	maxRecord int
	replies   *Replies
	name      string
}

// A ReaderOption changes a reader's defaults.
type ReaderOption func(*readerConfig)

// MaxRecord sets the maximum size of a record, in bytes (wire.DefaultMaxRecord).
func MaxRecord(octets int) ReaderOption {
	return func(c *readerConfig) { c.maxRecord = octets }
}

// ReadReplies makes a reader receive the broker's answers over a subscription that it shares.
func ReadReplies(x *Replies) ReaderOption {
	return func(c *readerConfig) { c.replies = x }
}

// ReadAs sets the name under which the broker lets this reader publish. It matters on a sealed edge only.
func ReadAs(name string) ReaderOption {
	return func(c *readerConfig) { c.name = name }
}

// A Reader is the receiving end of an edge. An edge has one reader in its lifetime: consumed records are
// overwritten.
//
// A reader has no goroutine: everything happens in Recv. Recv, Close and Abort must be called by one
// goroutine at a time. Count may be called at any time. A reader holds at most a quarter of the window, the
// prefetched frames, and one record.
type Reader struct {
	js      jetstream.JetStream
	nc      *nats.Conn
	replies *Replies
	addr    contract.Address
	ends    end
	dec     *wire.Decoder
	status  chan nats.Status
	wait    *time.Timer
	direct  attachment
	store   lookup
	rest    remains

	report *time.Timer // sets due
	due    atomic.Bool

	size      int         // bytes of the frame being read
	octets    int64       // consumed since the last credit
	frames    int64       // likewise
	credit    wire.Credit // the last one given
	confirmed bool        // the broker has stored it
	stable    bool        // the result of Stable
	gap       uint64      // missing frame because of which the reader attached again
	over      error       // what Recv returns from now on

	count struct{ records, octets atomic.Int64 }
}

// NewReader makes a reader of the edge at addr. It sends nothing to the broker before the first Recv.
// It must be released: by reading to io.EOF or another lasting error, by Close, or by Abort.
func NewReader(
	js jetstream.JetStream, addr contract.Address, opts ...ReaderOption,
) (*Reader, error) {
	cfg := readerConfig{maxRecord: wire.DefaultMaxRecord}
	for _, opt := range opts {
		opt(&cfg)
	}
	ends, addr, err := newEnd(addr, cfg.name, addr.Writer)
	if err != nil {
		return nil, edgeError(addr.Subject, err)
	}
	if addr.Window < MinWindow || addr.Frames < 1 {
		return nil, fmt.Errorf("edge %s: a window of %d bytes and %d frames is too small: the minimum is %d bytes and 1 frame",
			addr.Subject, addr.Window, addr.Frames, MinWindow)
	}
	r := &Reader{
		js: js, nc: js.Conn(), replies: cfg.replies, addr: addr, ends: ends,
		dec:   wire.NewDecoder(cfg.maxRecord),
		wait:  time.NewTimer(report),
		store: lookup{from: 1, first: true},
		// Only these: a burst of others could push them out of the channel.
		status: js.Conn().StatusChanged(nats.CONNECTED, nats.CLOSED),
	}
	r.report = time.AfterFunc(report, func() { r.due.Store(true) })
	return r, nil
}

// Recv returns the next record. The record is valid until the next call of any method; calling Recv
// again marks it as consumed. Errors are io.EOF after the last record, if totals and checksum are
// right; ErrGone; ErrCut; a *ProtocolError; ErrClosed; an error of the connection once that is closed;
// and the context's, after which Recv may be called again.
func (r *Reader) Recv(ctx context.Context) ([]byte, error) {
	if r.over != nil {
		return nil, r.over
	}
	record, err := r.next(ctx)
	if err != nil {
		if ctx.Err() == nil || !errors.Is(err, ctx.Err()) {
			err = r.end(err)
		}
		return nil, err
	}
	r.count.records.Add(1)
	r.count.octets.Add(int64(len(record)))
	return record, nil
}

// RecvBatch appends available records to batch, up to its capacity, and waits only for the first one.
// They are valid, and consumed, together. Errors are those of Recv, and are returned without records.
func (r *Reader) RecvBatch(ctx context.Context, batch [][]byte) ([][]byte, error) {
	first, err := r.Recv(ctx)
	if err != nil {
		return batch, err
	}
	batch = append(batch, first)
	if !r.stable {
		return batch, nil
	}
	n, octets := 0, 0
	for len(batch) < cap(batch) {
		record, ok, err := r.dec.Next()
		if err != nil || !ok {
			break // the decoder will return the error again
		}
		batch = append(batch, record)
		n++
		octets += len(record)
	}
	r.count.records.Add(int64(n))
	r.count.octets.Add(int64(octets))
	return batch, nil
}

// Stable reports whether the memory of the last result of Recv or RecvBatch is never written again. The
// result may then be retained, which also retains its frame.
func (r *Reader) Stable() bool { return r.stable }

func (r *Reader) next(ctx context.Context) ([]byte, error) {
	if r.due.Load() && !r.rest.only {
		r.tick()
	}
	for {
		record, ok, err := r.dec.Next()
		switch {
		case err != nil:
			return nil, r.malformed(err)
		case ok:
			r.stable = r.dec.Stable()
			return record, nil
		}
		r.passed()
		if r.dec.Ended() {
			return nil, io.EOF
		}
		if err := r.fetch(ctx); err != nil {
			return nil, err
		}
	}
}

// end makes err the final result and releases everything.
func (r *Reader) end(err error) error {
	if err != io.EOF { //nolint:errorlint // readers compare io.EOF with ==
		err = edgeError(r.addr.Subject, err)
	}
	r.over = err
	r.detach()
	r.forget()
	r.wait.Stop()
	r.report.Stop()
	r.nc.RemoveStatusListener(r.status)
	return err
}

// passed accounts for the frame that was read to its end, and gives credit if enough is consumed.
func (r *Reader) passed() {
	if r.size == 0 {
		return
	}
	r.octets += int64(r.size)
	r.frames++
	r.size = 0
	if r.rest.only {
		return
	}
	octets, frames := r.addr.Window/creditShare, r.addr.Frames/creditShare
	if r.direct.reply != "" {
		octets = min(directWindow(r.addr)/creditShare, creditStep)
		frames = int64(directFrames(r.addr)) / creditShare
	}
	if r.octets >= octets || r.frames >= frames || r.dec.Ended() {
		r.give()
	}
}

// tick gives credit for what was consumed in the last second, so that displays are up to date.
func (r *Reader) tick() {
	r.due.Store(false)
	r.report.Reset(report)
	if c := r.consumed(); c != r.credit {
		r.given(c, false)
		_ = r.nc.PublishMsg(r.creditMessage(c))
	}
}

// consumed returns the credit that is due. All records that Recv returned are consumed when it is called
// again; their frame is consumed when its end was read.
func (r *Reader) consumed() wire.Credit {
	c := wire.Credit{
		Frame:   r.dec.Number(),
		Records: uint64(r.count.records.Load()),
		Octets:  uint64(r.count.octets.Load()),
		Attach:  r.direct.token,
	}
	if r.size > 0 {
		c.Frame--
	}
	return c
}

// give sends a credit without waiting, only to the writer if that has sent something. If it is lost, confirm
// sends it again.
func (r *Reader) give() {
	c := r.consumed()
	r.given(c, false)
	// The only possible errors are those of a lost connection, which fetch will detect.
	if r.direct.reply != "" {
		message, done := r.ends.pack(r.direct.reply, c.Append(nil))
		_ = r.nc.Publish(r.direct.reply, message)
		done()
		return
	}
	_ = r.nc.PublishMsg(r.creditMessage(c))
}

func (r *Reader) given(c wire.Credit, confirmed bool) {
	r.credit, r.confirmed = c, confirmed
	r.octets, r.frames = 0, 0
}

// unconfirmed reports whether records were consumed that the broker may not know about.
func (r *Reader) unconfirmed() bool {
	c := r.consumed()
	return c != r.credit || (c.Frame > 0 || c.Attach > 0) && !r.confirmed
}

// confirm sends the credit that is due and waits until it is stored. A writer that is blocked because a
// credit was lost would wait forever. If confirm fails, it is tried again a second later.
func (r *Reader) confirm(ctx context.Context) error {
	c := r.consumed()
	err := within(ctx, lastPause, func(ctx context.Context) error {
		_, err := r.js.PublishMsg(ctx, r.creditMessage(c))
		return err
	})
	if err != nil {
		// If the writer receives it too, a deleted stream does not answer.
		return errors.Join(checkStream(ctx, r.js, r.addr.Stream), ctx.Err())
	}
	r.given(c, true)
	return nil
}

// Close tells the writer that no more records are needed, and returns when the broker has stored that, so
// that a later writer sees it too. It retries until the context ends. After io.EOF or another lasting
// error it sends nothing. The reader is released, whatever Close returns.
func (r *Reader) Close(ctx context.Context) error {
	if r.over != nil {
		return nil
	}
	c := r.consumed()
	c.Closed = true
	err := r.tell(ctx, c)
	r.end(ErrClosed)
	return edgeError(r.addr.Subject, err)
}

// Settle returns when the broker has stored what was consumed, so that others can see it: without it, the last
// credits may have gone to the writer alone. It may be called after io.EOF. After Close it does nothing.
func (r *Reader) Settle(ctx context.Context) error {
	if r.over != nil && !errors.Is(r.over, io.EOF) {
		return nil
	}
	return edgeError(r.addr.Subject, r.tell(ctx, r.consumed()))
}

func (r *Reader) tell(ctx context.Context, c wire.Credit) error {
	return patiently(ctx, func(once context.Context) error {
		_, err := r.js.PublishMsg(once, r.creditMessage(c))
		if err != nil {
			// If the writer receives it too, a deleted stream does not answer.
			err = errors.Join(err, checkStream(ctx, r.js, r.addr.Stream))
		}
		return err
	})
}

// Abort releases the reader without notifying the writer. It is a no-op after Close and after io.EOF.
func (r *Reader) Abort() {
	if r.over == nil {
		r.end(ErrClosed)
	}
}

// Count returns the count of what Recv has returned so far.
func (r *Reader) Count() contract.Count {
	return contract.Count{Records: r.count.records.Load(), Bytes: r.count.octets.Load()}
}

// Dropped returns how many messages on the edge were not sealed by the other end. It may be called at any time.
func (r *Reader) Dropped() int64 { return r.ends.dropped.Load() }

func (r *Reader) malformed(err error) error {
	var e *wire.Error
	if !errors.As(err, &e) {
		return err
	}
	return r.broken(e.Frame, e.Message)
}

func (r *Reader) broken(frame uint64, message string) error {
	return &ProtocolError{Edge: r.addr.Subject, Frame: frame, Message: message}
}
