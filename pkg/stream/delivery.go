package stream

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// pullFrames bounds the number of frames of one pull, and so the number of messages that wait
	// for the reader.
	pullFrames = 128
	// A pull ends after pullExpires; in between the broker says every heartbeat that it is there.
	pullExpires = 30 * time.Second
	heartbeat   = 10 * time.Second
	// silence is how long no message at all may come while a pull is open.
	silence = 25 * time.Second
)

// A pull is a request for frames, as the broker reads it.
type pull struct {
	Expires   time.Duration `json:"expires"`
	Batch     int           `json:"batch"`
	MaxBytes  int           `json:"max_bytes"`
	Heartbeat time.Duration `json:"idle_heartbeat"`
}

// A delivery is one life of the edge's consumer, with a subscription of its own: what was sent to
// an earlier one can't be mistaken for its messages.
type delivery struct {
	inbox string // prefix of the reply subjects: the number of the pull
	sub   *nats.Subscription
	msgs  chan *nats.Msg
	pulls int       // made so far
	heard time.Time // when something last came, or was asked for
	// What the open pull may still bring. The broker counts the same way; frames 0: none is open.
	frames, octets int
	fresh          bool // the open pull has brought nothing yet
}

// fetch waits until a new frame is in the decoder.
func (r *Reader) fetch(ctx context.Context) error {
	for {
		if err := r.ready(ctx); err != nil {
			return err
		}
		m, err := r.receive(ctx)
		if err != nil {
			return err
		}
		if m == nil {
			continue
		}
		fresh, err := r.message(ctx, m)
		if fresh || err != nil {
			return err
		}
	}
}

// receive returns the next message; nil if something else happened that may need another pull.
func (r *Reader) receive(ctx context.Context) (*nats.Msg, error) {
	select {
	case m := <-r.del.msgs:
		return m, nil
	default:
	}
	r.wait.Reset(r.patience())
	select {
	case m := <-r.del.msgs:
		return m, nil
	case s, ok := <-r.status:
		if !ok || s == nats.CLOSED {
			return nil, nats.ErrConnectionClosed
		}
		// Frames that were sent to the dead connection would not come again for long.
		return nil, r.reset(ctx)
	case <-r.wait.C:
		return nil, r.idle(ctx)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// patience is how long to wait for a message before idle has something to do.
func (r *Reader) patience() time.Duration {
	if r.unconfirmed() {
		return report
	}
	return silence
}

// idle is called when nothing has come for as long as patience.
func (r *Reader) idle(ctx context.Context) error {
	if r.unconfirmed() {
		r.confirm(ctx)
	}
	if time.Since(r.del.heard) >= silence {
		return r.reset(ctx)
	}
	return ctx.Err()
}

// ready makes sure that there is a consumer and an open pull.
func (r *Reader) ready(ctx context.Context) error {
	if r.nc.IsClosed() {
		return nats.ErrConnectionClosed
	}
	if r.del == nil {
		if err := r.open(ctx); err != nil {
			return err
		}
	}
	if r.del.frames > 0 {
		return nil
	}
	return r.pull()
}

// open makes the consumer, or finds it, and subscribes.
func (r *Reader) open(ctx context.Context) error {
	if err := patiently(ctx, r.consumer); err != nil {
		return err
	}
	d := &delivery{
		inbox: r.nc.NewInbox() + ".",
		msgs:  make(chan *nats.Msg, 2*pullFrames),
	}
	var err error
	if d.sub, err = r.nc.ChanSubscribe(d.inbox+"*", d.msgs); err != nil {
		return err
	}
	r.del = d
	if r.credit.Frame > 0 {
		r.give() // the last one may be lost
	}
	return nil
}

// consumer makes sure of the consumer. One that waits for acknowledgements was used by a reader
// that is gone: its frames would not come again for long, so it is made anew.
func (r *Reader) consumer(ctx context.Context) error {
	c, err := r.js.CreateOrUpdateConsumer(ctx, r.addr.Stream, ConsumerConfig(r.addr))
	if err != nil || c.CachedInfo().NumAckPending == 0 {
		return err
	}
	if err := r.deleteConsumer(ctx); err != nil {
		return err
	}
	_, err = r.js.CreateOrUpdateConsumer(ctx, r.addr.Stream, ConsumerConfig(r.addr))
	return err
}

func (r *Reader) deleteConsumer(ctx context.Context) error {
	err := r.js.DeleteConsumer(ctx, r.addr.Stream, r.addr.Consumer)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return nil
	}
	return err
}

// reset drops the consumer and what it has sent. On a work-queue stream the next one begins at the
// first frame that was not acknowledged.
func (r *Reader) reset(ctx context.Context) error {
	r.drop()
	return patiently(ctx, r.deleteConsumer)
}

func (r *Reader) drop() {
	if r.del == nil {
		return
	}
	// An error means that the connection is closed, and the subscription with it.
	_ = r.del.sub.Unsubscribe()
	r.del = nil
}

// pull asks for frames.
func (r *Reader) pull() error {
	d := r.del
	d.pulls++
	d.frames, d.octets, d.fresh = pullFrames, r.prefetch, true
	d.heard = time.Now()
	request, err := json.Marshal(pull{
		Expires: pullExpires, Batch: d.frames, MaxBytes: d.octets, Heartbeat: heartbeat,
	})
	if err != nil {
		return err
	}
	subject := apiSubject(r.js, "CONSUMER.MSG.NEXT."+r.addr.Stream+"."+r.addr.Consumer)
	err = r.nc.PublishRequest(subject, d.inbox+strconv.Itoa(d.pulls), request)
	if errors.Is(err, nats.ErrReconnectBufExceeded) {
		return nil // the reconnect will make the delivery anew
	}
	return err
}

// message handles a message: a frame, or the broker's word on a pull.
func (r *Reader) message(ctx context.Context, m *nats.Msg) (fresh bool, err error) {
	r.del.heard = time.Now()
	if token, ok := strings.CutPrefix(m.Subject, r.del.inbox); ok {
		return false, r.word(ctx, token, m)
	}
	r.del.take(m.Size())
	fresh, err = r.dec.Frame(m.Data)
	if err != nil {
		return false, r.unexpected(ctx, err)
	}
	if fresh {
		r.size = len(m.Data)
	}
	// A lost acknowledgement makes a repeat, which is acknowledged again.
	_ = r.nc.Publish(m.Reply, nil)
	return fresh, nil
}

// take accounts for a message of the open pull.
func (d *delivery) take(size int) {
	d.fresh = false
	d.frames--
	if d.octets -= size; d.octets <= 0 {
		d.frames = 0
	}
}

// unexpected judges a frame that the decoder refuses. A gap may come from a frame that was sent to
// a connection that died; made anew, the consumer sends all that is there in order, and a gap that
// stays is a loss.
func (r *Reader) unexpected(ctx context.Context, err error) error {
	var e *wire.Error
	missing := r.dec.Number() + 1
	if errors.As(err, &e) && e.Reason == wire.ReasonGap && r.gap != missing {
		r.gap = missing
		return r.reset(ctx)
	}
	return r.malformed(err)
}

// word handles what the broker says about the pull whose number is token.
func (r *Reader) word(ctx context.Context, token string, m *nats.Msg) error {
	d := r.del
	if token != strconv.Itoa(d.pulls) {
		return nil // of a pull that had ended by its own count
	}
	code, text := status(m), m.Header.Get("Description")
	switch {
	case code == "100": // a heartbeat
		return nil
	case code == "404", code == "408", text == "Batch Completed":
		d.frames = 0
		return nil
	case text == "Message Size Exceeds MaxBytes":
		d.frames = 0
		if d.fresh {
			return r.broken(r.dec.Number()+1, "the frame is longer than the prefetch of "+
				strconv.Itoa(r.prefetch)+" octets")
		}
		return nil
	case code == "503", text == "Consumer Deleted":
		r.drop()
		return checkStream(ctx, r.js, r.addr.Stream)
	}
	// A change of leader, a shutdown, or what a later broker may say: not at once again.
	d.frames = 0
	return sleep(ctx, firstPause)
}
