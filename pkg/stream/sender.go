package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Room for what the broker says to a sender: one confirmation and any number of credits. Should it
// overflow, the connection drops messages, and the timer makes up for it.
const senderInbox = 256

// mostFull is how often in a row, in about four seconds, a full subject may refuse a frame.
const mostFull = 5

// creditReply is the last token of the subject that a stored credit is sent to.
const creditReply = "credit"

// errStored ends a sender that has nothing left to do.
var errStored = errors.New("all is stored")

// A sender is the goroutine of a writer. It is a loop over events: messages, changes of the
// connection, something new to send, and one timer, which means "send again" while a frame is under
// way, and "ask for the credit" while the window is full.
type sender struct {
	js         jetstream.JetStream
	nc         *nats.Conn
	addr       contract.Address
	out        *Writer
	ackTimeout time.Duration

	inbox  string // prefix of reply subjects: the frame's number, or creditReply
	subs   []*nats.Subscription
	msgs   chan *nats.Msg
	status chan nats.Status
	timer  *time.Timer

	win    window
	frame  []byte // under way, nil if none is
	number uint64 // of the last frame sent
	spare  []byte // storage of the last frame that was stored
	stored bool   // the frame under way may be stored, although nothing confirms it
	resent bool   // some frame may be stored twice
	full   int    // refusals in a row because the subject is full
	pause  time.Duration
}

func newSender(
	js jetstream.JetStream, addr contract.Address, out *Writer, ackTimeout time.Duration,
) (*sender, error) {
	nc := js.Conn()
	s := &sender{
		js: js, nc: nc, addr: addr, out: out, ackTimeout: ackTimeout,
		inbox:  nc.NewInbox() + ".",
		msgs:   make(chan *nats.Msg, senderInbox),
		status: nc.StatusChanged(nats.CONNECTED, nats.CLOSED),
		timer:  time.NewTimer(ackTimeout),
		win:    window{octets: addr.Window, frames: addr.Frames},
	}
	for _, subject := range []string{s.inbox + "*", addr.Credit} {
		sub, err := nc.ChanSubscribe(subject, s.msgs)
		if err != nil {
			s.release()
			return nil, err
		}
		s.subs = append(s.subs, sub)
	}
	return s, nil
}

func (s *sender) release() {
	s.timer.Stop()
	s.nc.RemoveStatusListener(s.status)
	for _, sub := range s.subs {
		// An error means that the connection is closed, and the subscription with it.
		_ = sub.Unsubscribe()
	}
}

// run sends until the last frame is stored (nil), the context ends, or the edge can't go on.
func (s *sender) run(ctx context.Context) error {
	// A reader may have been here before: it may even have closed.
	err := s.askCredit()
	for err == nil {
		if err = s.advance(); err == nil {
			err = s.event(ctx)
		}
	}
	switch {
	case errors.Is(err, errStored):
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return err
}

// event handles one event.
func (s *sender) event(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case m := <-s.msgs:
		return s.message(ctx, m)
	case status, ok := <-s.status:
		if !ok || status == nats.CLOSED {
			return nats.ErrConnectionClosed
		}
		return s.reconnected()
	case <-s.out.wake:
		return nil
	case <-s.timer.C:
		return s.overdue(ctx)
	}
}

// advance takes up the next frame if none is under way and the window has room.
func (s *sender) advance() error {
	if s.frame != nil {
		return nil
	}
	frame, full, err := s.out.take(s.win.fits, s.spare)
	switch {
	case err != nil:
		return err
	case full && s.pause == 0:
		s.rest()
		return nil
	case frame == nil:
		return nil
	}
	s.frame, s.spare = frame, nil
	s.number++
	s.pause = 0
	s.win.add(len(frame))
	return s.publish()
}

// publish sends the frame under way. While the connection is down the client holds it back, or
// refuses it; either way it is sent again on reconnect.
func (s *sender) publish() error {
	s.timer.Reset(s.ackTimeout)
	s.stored = true
	reply := s.inbox + strconv.FormatUint(s.number, 10)
	err := s.nc.PublishRequest(s.addr.Subject, reply, s.frame)
	if errors.Is(err, nats.ErrReconnectBufExceeded) {
		return nil
	}
	if errors.Is(err, nats.ErrMaxPayload) {
		return s.broken(err.Error())
	}
	return err
}

// republish sends the frame under way again.
func (s *sender) republish() error {
	s.resent = s.resent || s.stored
	return s.publish()
}

// reconnected sends again what may be lost, and asks for a credit that may be.
func (s *sender) reconnected() error {
	if s.frame != nil {
		if err := s.republish(); err != nil {
			return err
		}
	}
	return s.askCredit()
}

// overdue is called when the timer fires.
func (s *sender) overdue(ctx context.Context) error {
	if s.frame != nil {
		return s.tryAgain(ctx)
	}
	if s.pause > 0 {
		s.rest()
		return s.askCredit()
	}
	return nil
}

// tryAgain sends a frame again that the broker refused or did not answer.
func (s *sender) tryAgain(ctx context.Context) error {
	if !s.nc.IsConnected() {
		return nil // reconnected will see to it
	}
	if s.stored {
		// Silence is also what a deleted stream answers if anybody else listens to the subject.
		if err := checkStream(ctx, s.js, s.addr.Stream); err != nil {
			return err
		}
	}
	return s.republish()
}

// rest sets the timer for the next try, later each time.
func (s *sender) rest() {
	s.pause = longer(s.pause)
	s.timer.Reset(s.pause)
}

// askCredit asks for the last stored credit. The answer arrives as a message like any other.
func (s *sender) askCredit() error {
	subject := apiSubject(s.js, "DIRECT.GET."+s.addr.Stream+"."+s.addr.Credit)
	err := s.nc.PublishRequest(subject, s.inbox+creditReply, nil)
	if errors.Is(err, nats.ErrReconnectBufExceeded) {
		return nil
	}
	return err
}

func (s *sender) message(ctx context.Context, m *nats.Msg) error {
	token, mine := strings.CutPrefix(m.Subject, s.inbox)
	switch {
	case mine && status(m) == "503":
		return s.unanswered(ctx)
	case mine && token != creditReply:
		return s.confirmed(token, m.Data)
	case status(m) != "":
		return nil // no credit is stored yet
	}
	return s.credit(m.Data)
}

// unanswered is called when the broker says that nobody listens: the stream is gone, or not back
// yet.
func (s *sender) unanswered(ctx context.Context) error {
	if err := checkStream(ctx, s.js, s.addr.Stream); err != nil {
		return err
	}
	if s.frame != nil {
		s.stored = false
		s.rest()
	}
	return nil
}

// A confirmation is JetStream's answer to a publish.
type confirmation struct {
	Stream string              `json:"stream"`
	Error  *jetstream.APIError `json:"error"`
}

// confirmed takes an answer for the frame whose number is token.
func (s *sender) confirmed(token string, data []byte) error {
	if s.frame == nil || token != strconv.FormatUint(s.number, 10) {
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
	case s.frame[1]&wire.FlagEnd != 0:
		return errStored
	}
	s.frame, s.spare = nil, s.frame[:0]
	s.pause, s.full = 0, 0
	s.timer.Stop()
	return nil
}

// refused judges an error of the broker. A subject may be full for a moment, for the broker deletes
// what the reader has acknowledged later than it passes on the credit; and for longer after frames
// were sent twice. If it stays full, somebody breaks the credit rules.
func (s *sender) refused(e *jetstream.APIError) error {
	if strings.Contains(e.Description, "maximum messages per subject") {
		s.full++
	}
	switch {
	case e.ErrorCode == jetstream.JSErrCodeStreamNotFound:
		return ErrGone
	case s.full >= mostFull && !s.resent, e.Code < 500 && e.Code != 429:
		return s.broken("the broker refuses it: " + e.Description)
	}
	s.stored = false
	s.rest()
	return nil
}

func (s *sender) credit(data []byte) error {
	c, err := wire.ParseCredit(data)
	if err != nil {
		return s.broken("a malformed credit: " + err.Error())
	}
	news, err := s.win.consume(c.Frame)
	switch {
	case err != nil:
		return s.broken(err.Error())
	case c.Closed:
		return ErrReaderClosed
	case news && s.frame == nil:
		s.pause = 0
	}
	return nil
}

func (s *sender) broken(message string) error {
	return &ProtocolError{Edge: s.addr.Subject, Frame: s.number, Message: message}
}
