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
	// prefetch is how many octets of stored frames a reader asks for at once.
	prefetch = 1 << 20

	// report is the longest time between two credits while there is progress.
	report = time.Second
	// creditShare is the part of a window after which credit is given: an eighth.
	creditShare = 8
	// creditStep is after how many octets credit is given at the latest to a writer that sends directly:
	// a full frame. Its window may be small.
	creditStep = DefaultFrameTarget
)

type readerConfig struct {
	maxRecord int
}

// A ReaderOption changes a reader's defaults.
type ReaderOption func(*readerConfig)

// MaxRecord sets the longest record, in octets, that the reader takes (wire.DefaultMaxRecord).
func MaxRecord(octets int) ReaderOption {
	return func(c *readerConfig) { c.maxRecord = octets }
}

// A Reader is the receiving end of an edge. An edge has one reader in its life: what it has consumed
// is overwritten.
//
// A reader runs no goroutine: all happens in Recv, which is for one goroutine at a time, as are
// Close and Abort. Count may be called at any time. It holds at most a quarter of the window and the
// prefetched frames, and one record.
type Reader struct {
	js     jetstream.JetStream
	nc     *nats.Conn
	addr   contract.Address
	dec    *wire.Decoder
	status chan nats.Status
	wait   *time.Timer
	direct attachment
	store  lookup
	rest   remains

	report *time.Timer // sets due
	due    atomic.Bool

	size      int         // octets of the frame that is being read
	octets    int64       // consumed since the last credit
	frames    int64       // likewise
	credit    wire.Credit // given last
	confirmed bool        // the broker has stored it
	stable    bool        // what Stable says
	gap       uint64      // missing frame for whose sake the reader attached anew
	over      error       // what Recv says from now on

	count struct{ records, octets atomic.Int64 }
}

// NewReader makes a reader of the edge at addr. Nothing is asked of the broker before the first
// Recv. It must be released: by reading to io.EOF or another lasting error, by Close, or by Abort.
func NewReader(
	js jetstream.JetStream, addr contract.Address, opts ...ReaderOption,
) (*Reader, error) {
	cfg := readerConfig{maxRecord: wire.DefaultMaxRecord}
	for _, opt := range opts {
		opt(&cfg)
	}
	if addr.Window < MinWindow || addr.Frames < 1 {
		return nil, fmt.Errorf("edge %s: a window of %d octets and %d frames is too small (%d, 1)",
			addr.Subject, addr.Window, addr.Frames, MinWindow)
	}
	r := &Reader{
		js: js, nc: js.Conn(), addr: addr,
		dec:   wire.NewDecoder(cfg.maxRecord),
		wait:  time.NewTimer(report),
		store: lookup{from: 1, first: true},
		// Only these: a burst of others must not push them out of the channel.
		status: js.Conn().StatusChanged(nats.CONNECTED, nats.CLOSED),
	}
	r.report = time.AfterFunc(report, func() { r.due.Store(true) })
	return r, nil
}

// Recv returns the next record. It is borrowed, and valid until the next call of any method;
// calling Recv again also says that it was consumed. Errors are io.EOF after the last record, when
// totals and checksum were found right; ErrGone; ErrCut; a *ProtocolError; ErrClosed; an error of the
// connection once that is closed; and the context's, after which Recv may be called again.
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

// RecvBatch appends to batch the records that are at hand, as far as its capacity goes, and waits
// only for the first. They are borrowed, and consumed, together. Errors are those of Recv, and come
// without records.
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
			break // the decoder will say an error again
		}
		batch = append(batch, record)
		n++
		octets += len(record)
	}
	r.count.records.Add(int64(n))
	r.count.octets.Add(int64(octets))
	return batch, nil
}

// Stable reports whether the memory of what Recv or RecvBatch returned last is never written again:
// it may then be kept, at the cost of keeping the frame around it too.
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

// end makes err the last word and releases everything.
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

// tick gives credit for what was consumed in the last second, so that displays move.
func (r *Reader) tick() {
	r.due.Store(false)
	r.report.Reset(report)
	if c := r.consumed(); c != r.credit {
		r.given(c, false)
		_ = r.nc.PublishMsg(creditMessage(r.addr, c))
	}
}

// consumed is the credit that is due. All records that Recv returned are consumed when it is
// called again; the frame that they are from is when its end was seen.
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

// give sends a credit without waiting: to the writer alone, if it was heard of. Should it be lost,
// confirm sends it again.
func (r *Reader) give() {
	c := r.consumed()
	r.given(c, false)
	// The only errors are those of a connection that is down, which fetch will see.
	if r.direct.reply != "" {
		_ = r.nc.Publish(r.direct.reply, c.Append(nil))
		return
	}
	_ = r.nc.PublishMsg(creditMessage(r.addr, c))
}

func (r *Reader) given(c wire.Credit, confirmed bool) {
	r.credit, r.confirmed = c, confirmed
	r.octets, r.frames = 0, 0
}

// unconfirmed reports whether something was consumed that the broker may not know of.
func (r *Reader) unconfirmed() bool {
	c := r.consumed()
	return c != r.credit || (c.Frame > 0 || c.Attach > 0) && !r.confirmed
}

// confirm sends the credit that is due and waits until it is stored. A writer that is blocked for
// a lost credit would wait for ever. If it fails, the next second will try again.
func (r *Reader) confirm(ctx context.Context) error {
	c := r.consumed()
	err := within(ctx, lastPause, func(ctx context.Context) error {
		_, err := r.js.PublishMsg(ctx, creditMessage(r.addr, c))
		return err
	})
	if err != nil {
		// Where the writer hears it too, a deleted stream answers with silence.
		return errors.Join(checkStream(ctx, r.js, r.addr.Stream), ctx.Err())
	}
	r.given(c, true)
	return nil
}

// Close tells the writer that no more is wanted, and returns when the broker has stored that: a
// writer that comes later sees it too. It tries until the context ends. After io.EOF or another
// lasting error there is nothing to tell. The reader is released, whatever Close returns.
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
		_, err := r.js.PublishMsg(once, creditMessage(r.addr, c))
		if err != nil {
			// Where the writer hears it too, a deleted stream answers with silence.
			err = errors.Join(err, checkStream(ctx, r.js, r.addr.Stream))
		}
		return err
	})
}

// Abort releases the reader and tells nobody. It is a no-op after Close and after io.EOF.
func (r *Reader) Abort() {
	if r.over == nil {
		r.end(ErrClosed)
	}
}

// Count is what Recv has returned so far.
func (r *Reader) Count() contract.Count {
	return contract.Count{Records: r.count.records.Load(), Bytes: r.count.octets.Load()}
}

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
