package stream

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// mostFull is how often in a row, in about four seconds, a full subject may refuse a frame.
const mostFull = 5

// purgeShare is the part of the window after which consumed frames are deleted: an eighth.
const purgeShare = 8

// store is what a sender knows of the frames in the stream.
type store struct {
	busy   bool   // the oldest held frame was published and is not confirmed
	maybe  bool   // that frame may be stored, although nothing confirms it
	resent bool   // some frame may be stored twice
	full   int    // refusals in a row because the subject is full
	last   uint64 // number of the last frame that is stored
	hinted bool   // the reader was told of a stored frame since it was last heard of
	asked  bool   // the credit was asked for since something was stored
	// parting: all is stored, and nothing but the answer to that is awaited.
	parting bool
	pause   time.Duration

	frames []storedFrame // not yet deleted, oldest first
}

type storedFrame struct {
	number, seq uint64
	octets      int
}

// leave forgets the frame under way: it went, or goes, another way.
func (st *store) leave() {
	st.resent = st.resent || st.busy
	st.busy, st.pause, st.full = false, 0, 0
}

// storeOldest publishes the oldest held frame to the stream.
func (s *sender) storeOldest() error {
	s.store.busy, s.store.maybe = true, true
	s.timer.Reset(s.ackTimeout)
	f := s.held[0]
	return s.publish(s.addr.Subject, strconv.FormatUint(f.number, 10), f.octets)
}

// storeAgain publishes the frame under way again.
func (s *sender) storeAgain() error {
	s.store.resent = s.store.resent || s.store.maybe
	return s.storeOldest()
}

// tryAgain stores a frame again that the broker refused or did not answer.
func (s *sender) tryAgain(ctx context.Context) error {
	if !s.nc.IsConnected() {
		return nil // reconnected will see to it
	}
	if s.store.maybe {
		// Silence is also what a deleted stream answers if anybody else listens to the subject.
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

// unanswered is called when the broker says that nobody listens: the stream is gone, or not back
// yet.
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

// confirmed takes an answer for the frame whose number is token.
func (s *sender) confirmed(token string, data []byte) error {
	if !s.store.busy || token != strconv.FormatUint(s.held[0].number, 10) {
		return nil // a second answer, to a frame that was sent twice
	}
	var c confirmation
	if err := json.Unmarshal(data, &c); err != nil {
		return s.broken(fmt.Sprintf("the broker's answer is not JSON: %v", err))
	}
	switch {
	case c.Error != nil:
		return s.refused(c.Error)
	case c.Stream != s.addr.Stream:
		return s.broken(fmt.Sprintf("stored in stream %q, not %q", c.Stream, s.addr.Stream))
	}
	return s.hasStored(s.held[0], c.Seq)
}

func (s *sender) hasStored(f heldFrame, seq uint64) error {
	st := &s.store
	st.busy, st.pause, st.full, st.last = false, 0, 0, f.number
	st.frames = append(st.frames, storedFrame{f.number, seq, len(f.octets)})
	s.timer.Stop()
	s.drop(f.number)
	last := s.ended && len(s.held) == 0
	switch {
	case s.direct.token > 0 && (!st.hinted || last):
		return s.hint()
	case s.direct.token == 0 && (!st.asked || last):
		// A credit that was on its way when we asked before lies in front of this frame. Its reader may
		// have looked for the frame too early, and waits to hear of it.
		st.asked, st.parting = true, last
		s.timer.Reset(s.ackTimeout)
		return s.askCredit()
	}
	return nil
}

// refused judges an error of the broker. A subject may be full for a moment, for the broker deletes
// what was consumed later than it passes on the credit; and for longer after frames were sent twice.
// If it stays full, somebody breaks the credit rules.
func (s *sender) refused(e *jetstream.APIError) error {
	if strings.Contains(e.Description, "maximum messages per subject") {
		s.store.full++
	}
	switch {
	case e.ErrorCode == jetstream.JSErrCodeStreamNotFound:
		return ErrGone
	case s.store.full >= mostFull && !s.store.resent, lastingAPI(e):
		return s.broken("the broker refuses it: " + e.Description)
	}
	s.store.maybe = false
	s.rest()
	return nil
}

// purge deletes stored frames that were consumed, when there are enough of them to be worth it.
func (s *sender) purge(number uint64) {
	n, octets := 0, 0
	for _, f := range s.store.frames {
		if f.number > number {
			break
		}
		n++
		octets += f.octets
	}
	if n == 0 || int64(octets) < s.addr.Window/purgeShare && int64(n) < s.addr.Frames/purgeShare {
		return
	}
	seq := s.store.frames[n-1].seq
	s.store.frames = slices.Delete(s.store.frames, 0, n)
	request := fmt.Sprintf(`{"filter":%q,"seq":%d}`, s.addr.Subject, seq+1)
	// Should it be lost, the next one deletes what this one had to.
	_ = s.publish(apiSubject(s.js, "STREAM.PURGE."+s.addr.Stream), replyPurge, []byte(request))
}
