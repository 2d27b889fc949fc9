package stream

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/nats-io/nats.go"
)

// An attachment is the state of receiving frames directly.
type attachment struct {
	token uint64 // of our subject, 0: not attached yet
	sub   *nats.Subscription
	msgs  chan *nats.Msg
	reply string    // where the writer receives credits; "" until it has sent something
	kept  uint64    // the stream holds frames up to this number, according to the writer
	ahead *nats.Msg // a frame that arrived while earlier ones are in the stream
	look  time.Duration
	heard time.Time
}

// While nothing arrives, a reader checks the stream at growing intervals: the writer may have exited
// before it received our credit.
const (
	firstLook = time.Second
	lastLook  = 30 * time.Second
)

// fetch waits until a new frame is in the decoder.
func (r *Reader) fetch(ctx context.Context) error {
	for {
		if r.nc.IsClosed() {
			return nats.ErrConnectionClosed
		}
		if fresh, err := r.step(ctx); fresh || err != nil {
			return err
		}
	}
}

// step does one thing to get the next frame, and reports whether it has it. An edge that ended before
// its reader started needs only one answer from the stream.
func (r *Reader) step(ctx context.Context) (fresh bool, err error) {
	switch next := r.dec.Number() + 1; {
	case r.store.first:
		r.store.first = false
		return false, r.get()
	case r.store.busy():
		return r.stored(ctx)
	case r.rest.only:
		return r.remaining()
	case r.direct.sub == nil:
		return false, r.attach()
	case next <= r.direct.kept:
		return false, r.get()
	case r.direct.ahead != nil:
		return r.take(r.direct.ahead)
	}
	return r.hear(ctx)
}

// attach requests everything that was not consumed, under a new token: frames sent under the previous one
// may be lost. It also reads the frames that the writer has stored. It does not wait until the credit is
// stored: a writer that starts before then asks again after its first frame, and if the credit is lost,
// confirm sends it again.
func (r *Reader) attach() error {
	d := &r.direct
	d.token = max(d.token+1, uint64(time.Now().UnixNano()))
	d.msgs = make(chan *nats.Msg, 4*maxDirectFrames)
	subject := r.addr.Direct + "." + strconv.FormatUint(d.token, 10)
	sub, err := r.nc.ChanSubscribe(subject, d.msgs)
	if err != nil {
		return err
	}
	d.sub, d.reply, d.kept, d.ahead = sub, "", 0, nil
	d.look, d.heard = firstLook, time.Now()
	r.give()
	return r.get()
}

func (r *Reader) detach() {
	if r.direct.sub == nil {
		return
	}
	// An error means that the connection is closed, and the subscription with it.
	_ = r.direct.sub.Unsubscribe()
	r.direct.sub, r.direct.ahead = nil, nil
}

// hear waits for a message from the writer.
func (r *Reader) hear(ctx context.Context) (fresh bool, err error) {
	select {
	case m := <-r.direct.msgs:
		return r.receive(m)
	default:
	}
	if r.store.unsaid {
		// A writer that is storing does not know that we are waiting for it.
		r.store.unsaid = false
		r.give()
	}
	r.wait.Reset(r.patience())
	select {
	case m := <-r.direct.msgs:
		return r.receive(m)
	case s, ok := <-r.status:
		return false, r.changed(s, ok)
	case <-r.wait.C:
		return false, r.idle(ctx)
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// changed handles a change of the connection: messages in flight are lost.
func (r *Reader) changed(s nats.Status, ok bool) error {
	if !ok || s == nats.CLOSED {
		return nats.ErrConnectionClosed
	}
	r.detach()
	r.forget()
	r.rest.looked = 0
	return nil
}

// receive handles a message that may be from the writer.
func (r *Reader) receive(m *nats.Msg) (fresh bool, err error) {
	if !r.opened(m) {
		return false, nil
	}
	return r.take(m)
}

// take handles a message from the writer.
func (r *Reader) take(m *nats.Msg) (fresh bool, err error) {
	d := &r.direct
	d.ahead, d.heard, d.look = nil, time.Now(), firstLook
	number, hint := wire.ParseHint(m.Data)
	if !hint {
		number = wire.Number(m.Data)
	}
	switch last := r.dec.Number(); {
	case number > 0 && number <= last:
		r.give() // the writer does not know what was consumed
		return false, nil
	case hint:
		d.kept, d.reply = max(d.kept, number), m.Reply
		return false, nil
	case number > last+1 && last < d.kept:
		d.ahead = m
		return false, nil
	}
	// Only with what is new: anybody can repeat the writer's messages, with another reply subject.
	d.reply = m.Reply
	return r.decode(m.Data)
}

// opened opens a message that was sent directly.
func (r *Reader) opened(m *nats.Msg) (ok bool) {
	m.Data, ok = r.ends.open(m.Subject, m.Data)
	return ok
}

// decode gives a frame to the decoder.
func (r *Reader) decode(frame []byte) (fresh bool, err error) {
	fresh, err = r.dec.Frame(frame)
	if err != nil {
		return false, r.unexpected(err)
	}
	if fresh {
		r.size = len(frame)
	}
	return fresh, nil
}

// unexpected handles a frame that the decoder rejects. A gap may come from a frame that was sent to a dead
// connection; the writer sends again what it holds, and the rest is in the stream. A gap that remains is
// a loss.
func (r *Reader) unexpected(err error) error {
	var e *wire.Error
	missing := r.dec.Number() + 1
	if errors.As(err, &e) && e.Reason == wire.ReasonGap && (r.gap != missing || r.flooded()) {
		r.gap = missing
		r.detach()
		r.forget()
		r.store.from = 1
		return nil
	}
	return r.malformed(err)
}

// flooded reports whether messages were dropped because too many arrived: on a sealed edge, anybody can send those.
func (r *Reader) flooded() bool {
	if r.ends.seal == nil || r.direct.sub == nil {
		return false
	}
	n, err := r.direct.sub.Dropped()
	return err == nil && n > 0
}

// patience is how long to wait for a message before calling idle.
func (r *Reader) patience() time.Duration {
	if r.unconfirmed() {
		return report
	}
	return r.direct.look - time.Since(r.direct.heard)
}

// idle is called when no message has arrived for the time of patience.
func (r *Reader) idle(ctx context.Context) error {
	if r.unconfirmed() {
		return r.confirm(ctx)
	}
	r.direct.heard = time.Now()
	r.direct.look = min(2*r.direct.look, lastLook)
	return r.get()
}
