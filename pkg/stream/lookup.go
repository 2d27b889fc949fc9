package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/nats-io/nats.go"
)

// lookupFrames is how many stored frames a reader asks for at once.
const lookupFrames = 64

// numPending is the header that says how much is behind a batch.
const numPending = "Nats-Num-Pending"

// A lookup is what a reader knows of the stored frames. It asks for batches of them by direct get
// (nats-server 2.11), one batch at a time, and never deletes any: the writer does.
type lookup struct {
	from   uint64 // sequence in the stream to go on at
	first  bool   // nothing was asked yet
	asked  int    // number of the last batch, and the last token of its answers' subject
	open   bool   // that batch may bring more
	got    int    // frames that it brought
	unsaid bool   // something was read since the last word to the writer

	inbox string
	sub   *nats.Subscription
	msgs  chan *nats.Msg
}

// batch is a request for stored frames, as the broker reads it.
type batch struct {
	Seq      uint64 `json:"seq"`
	Subject  string `json:"next_by_subj"`
	Batch    int    `json:"batch"`
	MaxBytes int    `json:"max_bytes"`
}

// get asks for the next batch.
func (r *Reader) get() error {
	l := &r.store
	if l.sub == nil {
		l.inbox, l.msgs = r.nc.NewInbox()+".", make(chan *nats.Msg, 2*lookupFrames)
		sub, err := r.nc.ChanSubscribe(l.inbox+"*", l.msgs)
		if err != nil {
			return err
		}
		l.sub = sub
	}
	l.asked++
	l.open, l.got = true, 0
	request, err := json.Marshal(batch{l.from, r.addr.Subject, lookupFrames, prefetch})
	if err != nil {
		return err
	}
	subject := apiSubject(r.js, "DIRECT.GET."+r.addr.Stream)
	// Should it be lost, a reconnect or the time-out asks again.
	return unlessPassing(r.nc.PublishRequest(subject, l.inbox+strconv.Itoa(l.asked), request))
}

// forget drops the batch and what it has brought.
func (r *Reader) forget() {
	l := &r.store
	if l.sub == nil {
		return
	}
	// An error means that the connection is closed, and the subscription with it.
	_ = l.sub.Unsubscribe()
	l.sub, l.open = nil, false
}

// stored waits for the next message of the open batch.
func (r *Reader) stored(ctx context.Context) (fresh bool, err error) {
	r.wait.Reset(DefaultAckTimeout)
	select {
	case m := <-r.store.msgs:
		return r.answer(ctx, m)
	case s, ok := <-r.status:
		return false, r.changed(s, ok)
	case <-r.wait.C:
		r.forget()
		return false, errors.Join(checkStream(ctx, r.js, r.addr.Stream), r.get())
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// answer takes a message of a batch: a frame, or the broker's word.
func (r *Reader) answer(ctx context.Context, m *nats.Msg) (fresh bool, err error) {
	l := &r.store
	if token, _ := strings.CutPrefix(m.Subject, l.inbox); token != strconv.Itoa(l.asked) {
		return false, nil // of a batch that was given up
	}
	switch code := status(m); code {
	case "":
	case "204", "404": // the end of the batch; nothing is there
		return false, r.complete(m.Header.Get(numPending))
	case "503":
		l.open = false
		if err := checkStream(ctx, r.js, r.addr.Stream); err != nil {
			return false, err
		}
		if err := sleep(ctx, firstPause); err != nil {
			l.first = true
			return false, err
		}
		return false, r.get()
	default:
		return false, r.broken(r.dec.Number()+1, fmt.Sprintf("the broker does not give stored frames "+
			"(status %s %s); nats-server 2.11 or later is needed", code, m.Header.Get("Description")))
	}
	seq, err := strconv.ParseUint(m.Header.Get(nats.JSSequence), 10, 64)
	if err != nil {
		return false, r.broken(r.dec.Number()+1, "a stored frame without its place: "+err.Error())
	}
	l.from, l.unsaid = seq+1, true
	l.got++
	return r.decode(m.Data)
}

// complete ends a batch behind which there are more frames. One that brings nothing although the
// writer has stored the next frame means that the broker has lost it.
func (r *Reader) complete(more string) error {
	r.store.open = false
	next := r.dec.Number() + 1
	switch {
	case r.store.got > 0 && more != "0":
		return r.get()
	case r.store.got > 0, next > r.direct.kept:
		return nil
	}
	return r.unexpected(&wire.Error{
		Reason: wire.ReasonGap, Frame: next, Message: "the broker has lost it",
	})
}
