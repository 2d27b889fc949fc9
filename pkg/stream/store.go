package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// mostFull is how often in a row, within about four seconds, a full subject of a flow's own stream may reject a frame.
const mostFull = 5

// clearShare is the part of the window after which consumed frames are cleared: an eighth.
const clearShare = 8

// unknownSeq is the sequence of a message in a slot that was stored but not confirmed.
const unknownSeq = math.MaxUint64

// store is the state of the frames in the stream.
type store struct {
	busy   bool   // the oldest held frame was published and is not confirmed
	maybe  bool   // that frame may be stored although it is not confirmed
	again  bool   // that frame was published before
	tries  uint64 // publications so far
	resent bool   // some frame may be stored twice
	full   int    // refusals in a row because the subject is full
	last   uint64 // number of the last frame that is stored
	hinted bool   // a hint was sent since the reader's last message
	asked  bool   // the credit was requested since something was stored
	// parting: everything is stored, and only the answer to the last request is pending.
	parting bool
	pause   time.Duration

	slots  []uint64      // sequence of the last message in each slot, 0 for none, or unknownSeq
	frames []storedFrame // neither overwritten nor cleared, oldest first
}

type storedFrame struct {
	number, seq uint64
	octets      int
}

// leave forgets the frame in flight to the stream: it is sent directly instead.
func (s *sender) leave() {
	st := &s.store
	if st.busy {
		st.resent = true
		st.setSeq(s.held[0].number, unknownSeq)
	}
	st.busy, st.again, st.pause, st.full = false, false, 0, 0
}

// seq is the sequence of the last message in a frame's slot.
func (st *store) seq(frame uint64) uint64 {
	if len(st.slots) == 0 {
		return unknownSeq
	}
	return st.slots[frame%uint64(len(st.slots))]
}

func (st *store) setSeq(frame, seq uint64) {
	if len(st.slots) > 0 {
		st.slots[frame%uint64(len(st.slots))] = seq
	}
}

// storeOldest publishes the oldest held frame to the stream. It overwrites only the message that its slot is known
// to hold: a delayed copy of an older frame is rejected.
func (s *sender) storeOldest() error {
	if s.store.slots == nil && s.addr.Slots > 0 {
		s.store.slots = make([]uint64, s.addr.Slots)
	}
	s.store.busy, s.store.maybe = true, true
	s.timer.Reset(s.ackTimeout)
	s.store.tries++
	f := s.held[0]
	return s.overwrite(f.number, fmt.Sprintf("%d-%d", f.number, s.store.tries), f.octets)
}

// overwrite publishes data to the slot of a frame.
func (s *sender) overwrite(frame uint64, reply string, data []byte) error {
	m := nats.NewMsg(s.addr.Slot(frame) + s.ends.own)
	message, done := s.ends.pack(m.Subject, data)
	defer done()
	m.Reply, m.Data = s.inbox+reply, message
	if seq := s.store.seq(frame); seq != unknownSeq {
		m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(seq, 10))
	}
	err := s.nc.PublishMsg(m)
	if errors.Is(err, nats.ErrMaxPayload) {
		return s.broken(err.Error())
	}
	return unlessPassing(err)
}

// storeAgain publishes the frame in flight again.
func (s *sender) storeAgain() error {
	s.store.resent = s.store.resent || s.store.maybe
	s.store.again = s.store.again || s.store.maybe
	return s.storeOldest()
}

// tryAgain stores a frame again that the broker rejected or did not confirm.
func (s *sender) tryAgain(ctx context.Context) error {
	if !s.nc.IsConnected() {
		return nil // reconnected handles it
	}
	if s.store.maybe {
		// A deleted stream does not answer either, if there is another subscriber to the subject.
		if err := checkStream(ctx, s.js, s.addr.Stream); err != nil {
			return err
		}
	}
	return s.storeAgain()
}

// rest sets the timer for the next try, later each time.
func (s *sender) rest() {
	s.store.pause = longer(s.store.pause)
	s.timer.Reset(s.store.pause)
}

// unanswered is called when the broker reports no responders: the stream no longer exists, or is not yet
// back.
func (s *sender) unanswered(ctx context.Context) error {
	if err := checkStream(ctx, s.js, s.addr.Stream); err != nil {
		return err
	}
	if s.store.busy {
		s.store.maybe = false
		s.rest()
	}
	return nil
}

// A confirmation is JetStream's answer to a publish.
type confirmation struct {
	Stream string              `json:"stream"`
	Seq    uint64              `json:"seq"`
	Error  *jetstream.APIError `json:"error"`
}

// confirmed handles a confirmation of a frame; token is the frame's number and the number of the publication. If it is
// not for the last publication, the frame is stored, but the final message in its slot is unknown.
func (s *sender) confirmed(token string, data []byte) error {
	number, try, _ := strings.Cut(token, "-")
	if !s.store.busy || number != strconv.FormatUint(s.held[0].number, 10) {
		return nil // a second answer for a frame that was sent twice
	}
	last := try == strconv.FormatUint(s.store.tries, 10)
	var c confirmation
	if err := json.Unmarshal(data, &c); err != nil {
		return s.broken(fmt.Sprintf("the broker's answer is not JSON: %v", err))
	}
	switch {
	case c.Error != nil && !last:
		return nil
	case c.Error != nil:
		return s.refused(c.Error)
	case c.Stream != s.addr.Stream:
		return s.broken(fmt.Sprintf("stored in stream %q, not %q", c.Stream, s.addr.Stream))
	}
	if !last && s.addr.Slots > 0 {
		c.Seq = unknownSeq
	}
	return s.hasStored(s.held[0], c.Seq)
}

func (s *sender) hasStored(f heldFrame, seq uint64) error {
	st := &s.store
	st.busy, st.again, st.pause, st.full, st.last = false, false, 0, 0, f.number
	st.setSeq(f.number, seq)
	if n := uint64(len(st.slots)); n > 0 {
		st.frames = slices.DeleteFunc(st.frames, func(o storedFrame) bool { return o.number%n == f.number%n }) // overwritten
	}
	st.frames = append(st.frames, storedFrame{f.number, seq, len(f.octets)})
	s.timer.Stop()
	s.drop(f.number)
	last := s.ended && len(s.held) == 0
	claims := s.claims
	if claims {
		s.claims = false
		s.out.claimed.Store(true)
	}
	switch {
	case claims && s.direct.token > 0:
		return s.sendDirectly()
	case s.direct.token > 0 && (!st.hinted || last):
		return s.hint()
	case s.direct.token == 0 && (!st.asked || last):
		// A credit that was in flight at the last request precedes this frame. Its reader may have looked
		// for the frame too early, and is waiting for a hint.
		st.asked, st.parting = true, last
		s.timer.Reset(s.ackTimeout)
		return s.askCredit()
	}
	return nil
}

// refused handles an error of the broker.
//
// If a slot does not hold the expected message, it holds the frame itself, if that was published before: nothing
// else writes there. The subject of a flow's own stream may be full for a moment, because the broker deletes
// consumed messages later than requested.
func (s *sender) refused(e *jetstream.APIError) error {
	switch {
	case wrongLastSequence(e) && s.store.again:
		return s.hasStored(s.held[0], unknownSeq)
	case wrongLastSequence(e) && s.claims:
		return ErrTaken
	case wrongLastSequence(e):
		return s.broken("the broker rejected it: another writer stored a frame of this edge")
	}
	if strings.Contains(e.Description, "maximum messages per subject") {
		s.store.full++
	}
	switch {
	case e.ErrorCode == jetstream.JSErrCodeStreamNotFound:
		return ErrGone
	case s.store.full >= mostFull && !s.store.resent, lastingAPI(e):
		return s.broken("the broker rejected it: " + e.Description)
	}
	s.store.maybe = false
	s.rest()
	return nil
}

// clear overwrites stored frames that were consumed, if there are enough of them and no frames are in flight that
// will overwrite them.
func (s *sender) clear(number uint64) error {
	n, octets := 0, 0
	for _, f := range s.store.frames {
		if f.number > number {
			break
		}
		n++
		octets += f.octets
	}
	if n == 0 || int64(octets) < s.addr.Window/clearShare && int64(n) < s.addr.Frames/clearShare {
		return nil
	}
	if s.addr.Slots == 0 {
		return s.purge(n)
	}
	if s.store.busy || s.full || len(s.held) > 0 && !s.direct.on {
		return nil
	}
	for _, f := range s.store.frames[:n] {
		if f.seq == unknownSeq {
			continue
		}
		if err := s.overwrite(f.number, replyClear, nil); err != nil {
			return err
		}
		s.store.setSeq(f.number, unknownSeq)
	}
	s.store.frames = slices.Delete(s.store.frames, 0, n)
	return nil
}

// WrongLastSequence reports whether JetStream rejected a message because its subject does not hold what the publisher
// expected.
func WrongLastSequence(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && wrongLastSequence(api)
}

// wrongLastSequence reports whether a subject does not hold what the publisher expected.
func wrongLastSequence(e *jetstream.APIError) bool {
	return e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence ||
		e.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequenceConstant
}

// purge deletes the n oldest frames from a flow's own stream.
func (s *sender) purge(n int) error {
	request := fmt.Sprintf(`{"filter":%q,"seq":%d}`, s.addr.Subject, s.store.frames[n-1].seq+1)
	s.store.frames = slices.Delete(s.store.frames, 0, n)
	// If it is lost, the next one deletes what this one should have deleted.
	return s.publish(apiSubject(s.js, "STREAM.PURGE."+s.addr.Stream), s.inbox+replyClear, []byte(request))
}
