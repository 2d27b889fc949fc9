package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/nats-io/nats.go"
)

// lookupFrames is the maximum number of stored frames that a reader requests at once.
const lookupFrames = 16

// A lookup is the state of reading stored frames. It requests each by its slot, first one and then more at once as they
// are found, and ends with the first one that is missing: frames are stored in order.
type lookup struct {
	first bool              // nothing was requested yet
	round int               // answers to other rounds are dropped
	next  uint64            // number of the next frame to request
	open  int               // requests without an answer
	most  int               // limit of open
	got   int               // frames that were found in this round
	end   bool              // one was missing
	ahead map[uint64][]byte // frames that arrived before their turn
	// unsaid is true if something was read since the last message to the writer.
	unsaid bool
	from   uint64 // sequence in a flow's own stream to continue at

	inbox      string // prefix of reply subjects
	closeInbox func() // ends the inbox; nil if there is none
	msgs       chan *nats.Msg
}

// get requests the next frames.
func (r *Reader) get() error {
	l := &r.store
	if l.closeInbox == nil {
		msgs := make(chan *nats.Msg, 2*lookupFrames)
		inbox, end, err := r.replies.inbox(r.nc, msgs)
		if err != nil {
			return err
		}
		l.inbox, l.closeInbox, l.msgs = inbox, end, msgs
	}
	l.round++
	l.next, l.open, l.most, l.got, l.end, l.ahead = r.dec.Number()+1, 0, 1, 0, false, nil
	return r.getMore()
}

// getMore requests as many frames as may be in flight.
func (r *Reader) getMore() error {
	l := &r.store
	for !l.end && l.open+len(l.ahead) < l.most {
		subject, request, err := r.question(l.next)
		if err != nil {
			return err
		}
		if err := r.ask(subject, l.next, request); err != nil {
			return err
		}
		l.next++
	}
	return nil
}

// ask requests a frame. If the request is lost, a reconnect or the timeout repeats it.
func (r *Reader) ask(subject string, frame uint64, request []byte) error {
	l := &r.store
	l.open++
	reply := l.inbox + strconv.Itoa(l.round) + "." + strconv.FormatUint(frame, 10)
	return unlessPassing(r.nc.PublishRequest(subject, reply, request))
}

// askWho asks which executor writes: somebody else has stored a message in the slot of the frame.
func (r *Reader) askWho() error {
	l := &r.store
	l.open++
	reply := l.inbox + strconv.Itoa(l.round) + "." + answerWho
	return unlessPassing(r.nc.PublishRequest(contract.AskJobExecutor+r.ends.own, reply, r.ends.who))
}

// answerWho is the last token of the subject of the answer to askWho.
const answerWho = "who"

// toldWho handles that answer. If it is not known who writes, nothing is stored as far as this reader can see.
func (r *Reader) toldWho(answer []byte) (fresh bool, err error) {
	if r.ends.told(answer); r.ends.known() {
		return false, r.get()
	}
	return r.missing()
}

// question requests a stored frame: the last message in its slot, or the next one in a flow's own stream.
func (r *Reader) question(frame uint64) (subject string, request []byte, err error) {
	subject = apiSubject(r.js, "DIRECT.GET."+r.addr.Stream)
	if r.addr.Slots > 0 {
		return subject + "." + r.addr.Slot(frame) + r.ends.peer, nil, nil
	}
	request, err = json.Marshal(map[string]any{"seq": r.store.from, "next_by_subj": r.addr.Subject})
	return subject, request, err
}

// forget drops all requests and their results.
func (r *Reader) forget() {
	l := &r.store
	if l.closeInbox == nil {
		return
	}
	l.closeInbox()
	l.closeInbox, l.open, l.ahead = nil, 0, nil
}

// busy reports whether stored frames are in flight.
func (l *lookup) busy() bool { return l.open > 0 || len(l.ahead) > 0 }

// stored waits for the next stored frame.
func (r *Reader) stored(ctx context.Context) (fresh bool, err error) {
	due := r.dec.Number() + 1
	if frame, ok := r.store.ahead[due]; ok {
		delete(r.store.ahead, due)
		return r.found(frame)
	}
	if r.store.open == 0 { // later frames are of no use without this one
		r.store.ahead = nil
		return false, r.complete()
	}
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

// answer handles the answer to one request.
func (r *Reader) answer(ctx context.Context, m *nats.Msg) (fresh bool, err error) {
	l := &r.store
	round, token, _ := strings.Cut(strings.TrimPrefix(m.Subject, l.inbox), ".")
	number, err := strconv.ParseUint(token, 10, 64)
	if err != nil && token != answerWho || round != strconv.Itoa(l.round) {
		return false, nil // to an abandoned request
	}
	l.open--
	if token == answerWho {
		return r.toldWho(m.Data)
	}
	switch code := status(m); code {
	case "":
	case "404":
		return r.missing()
	case "503":
		return false, r.absent(ctx)
	default:
		return false, r.broken(number, fmt.Sprintf("cannot read stored frames from the broker (status %s %s)",
			code, m.Header.Get("Description")))
	}
	if r.addr.Slots == 0 {
		seq, err := strconv.ParseUint(m.Header.Get(nats.JSSequence), 10, 64)
		if err != nil {
			return false, r.broken(number, "a stored frame without a sequence: "+err.Error())
		}
		l.from = seq + 1
		return r.found(m.Data)
	}
	data, ok := r.ends.openStored(m, r.addr.Slot(number))
	if !ok && !r.ends.known() && r.ends.who != nil {
		return false, r.askWho()
	}
	m.Data = data
	switch {
	case len(m.Data) == 0 || wire.Number(m.Data) < number && wire.Number(m.Data) > 0:
		return r.missing() // the slot is cleared, or still holds an older frame
	case number != r.dec.Number()+1:
		if l.ahead == nil {
			l.ahead = make(map[uint64][]byte)
		}
		l.ahead[number] = m.Data
		return false, nil
	}
	return r.found(m.Data)
}

// found handles a stored frame whose turn it is.
func (r *Reader) found(frame []byte) (fresh bool, err error) {
	l := &r.store
	l.got++
	l.unsaid = true
	if l.most = min(2*l.most, lookupFrames); r.addr.Slots == 0 {
		l.most = 1 // the next request is for what follows this answer
	}
	if fresh, err = r.decode(frame); err != nil {
		return false, err
	}
	if l.closeInbox == nil { // a gap
		return false, nil
	}
	l.end = l.end || wire.Ends(frame)
	return fresh, r.getMore()
}

// missing handles a frame that is not stored: later ones are not stored either.
func (r *Reader) missing() (fresh bool, err error) {
	r.store.end = true
	if r.store.busy() {
		return false, nil
	}
	return false, r.complete()
}

// absent is called when the stream does not respond: it no longer exists, or is not yet back.
func (r *Reader) absent(ctx context.Context) error {
	r.store.open, r.store.ahead = 0, nil
	if err := checkStream(ctx, r.js, r.addr.Stream); err != nil {
		return err
	}
	if err := sleep(ctx, firstPause); err != nil {
		r.store.first = true
		return err
	}
	return r.get()
}

// complete ends a round. If the round found nothing although the writer has stored the next frame, the broker has
// lost the frame.
func (r *Reader) complete() error {
	next := r.dec.Number() + 1
	if r.store.got > 0 || next > r.direct.kept {
		return nil
	}
	return r.unexpected(&wire.Error{
		Reason: wire.ReasonGap, Frame: next, Message: "the broker lost it",
	})
}
