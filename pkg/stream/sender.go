package stream

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Capacity for the broker's messages to a sender: one confirmation, one echo and any number of credits.
// If it overflows, the connection drops messages, and the timer makes up for it.
const senderInbox = 256

// Replies to a sender are distinguished by the last token of their subject, which is the number of a frame
// or one of these.
const (
	replyAsk    = "ask"    // the last stored credit
	replyWho    = "who"    // which executor reads
	replyCredit = "credit" // a credit from an attached reader
	replyEcho   = "echo"   // the broker has received everything that we sent
	replyClear  = "clear"  // a slot was cleared
)

// errOver ends a sender that has nothing left to do.
var errOver = errors.New("everything is consumed or stored")

// A heldFrame was taken up, and is neither stored nor known to be consumed.
type heldFrame struct {
	number uint64
	octets []byte
}

// frameStorage is the storage of frames that are no longer needed, for reuse by all writers.
var frameStorage sync.Pool

// A sender is the goroutine of a writer. It is a loop over events: messages, changes of the
// connection, something new to send, and one timer.
//
// It has two modes (doc.go). In both, held are the frames that only the sender has. When sending directly,
// it takes up frames as the direct window allows, and the timer means that the reader has been silent for
// too long. When storing, it has one frame at a time in flight to the stream, so that their order is kept,
// and the timer means "send again", or "request the credit" while the window is full.
type sender struct {
	js         jetstream.JetStream
	nc         *nats.Conn
	addr       contract.Address
	ends       end
	out        *Writer
	ackTimeout time.Duration

	// inbox is the prefix of reply subjects of requests to the broker. Nobody else knows it. credits is that of messages to
	// the reader, which others can hear on an edge that is sent directly.
	inbox, credits string
	closers        []func() // end the inboxes
	sub            *nats.Subscription
	msgs           chan *nats.Msg
	status         chan nats.Status
	timer          *time.Timer

	win    window
	held   []heldFrame // oldest first
	octets int64       // of held
	number uint64      // of the last frame taken up
	ended  bool        // that had END
	full   bool        // only a window keeps it from taking up the next one
	asking bool        // nothing is stored before it is known whether there is a reader
	claims bool        // the first frame must be stored, and is not

	direct direct
	store  store
}

func newSender(
	js jetstream.JetStream, addr contract.Address, ends end, out *Writer, frame int64, cfg writerConfig,
) (*sender, error) {
	nc := js.Conn()
	s := &sender{
		js: js, nc: nc, addr: addr, ends: ends, out: out, ackTimeout: cfg.ackTimeout,
		msgs:   make(chan *nats.Msg, senderInbox),
		status: nc.StatusChanged(nats.CONNECTED, nats.CLOSED),
		timer:  time.NewTimer(firstPause),
		win:    window{octets: addr.Window, frames: addr.Frames},
		asking: true,
		claims: cfg.claims && addr.Slots > 0,
		direct: direct{window: max(directWindow(addr), frame), frames: directFrames(addr)},
	}
	err := s.listen(cfg.replies)
	if err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

func (s *sender) listen(replies *Replies) (err error) {
	for _, prefix := range []*string{&s.inbox, &s.credits} {
		inbox, end, err := replies.inbox(s.nc, s.msgs)
		s.closers = append(s.closers, end)
		if err != nil {
			return err
		}
		*prefix = inbox
	}
	s.sub, err = s.nc.ChanSubscribe(s.addr.Credit+s.ends.peer, s.msgs)
	return err
}

func (s *sender) release() {
	s.direct.count(false)
	s.timer.Stop()
	s.nc.RemoveStatusListener(s.status)
	for _, end := range s.closers {
		end()
	}
	// An error means that the connection is closed, and the subscription with it, or that there is none.
	_ = s.sub.Unsubscribe()
}

// run sends until everything is consumed or stored (nil), the context ends, or the edge fails.
func (s *sender) run(ctx context.Context) error {
	// A reader may already exist: it may even have closed.
	err := s.askCredit()
	for err == nil {
		if err = s.advance(); err == nil {
			err = s.event(ctx)
		}
	}
	switch {
	case errors.Is(err, errOver):
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

// advance does everything that is possible now.
func (s *sender) advance() error {
	for {
		more, err := s.step()
		s.direct.count(s.direct.on && len(s.held) > 0)
		switch {
		case err != nil:
			return err
		case s.ended && len(s.held) == 0 && !s.store.parting:
			return errOver
		case !more:
			return nil
		}
	}
}

// step does one thing, and reports whether there may be another.
func (s *sender) step() (more bool, err error) {
	switch {
	case s.asking:
		return false, nil
	case s.direct.on:
		return s.sendNext()
	case s.store.busy:
		return false, nil
	case len(s.held) > 0:
		return false, s.storeOldest()
	}
	more, err = s.takeUp(s.win.fits, true)
	if s.full && s.store.pause == 0 {
		s.rest()
	}
	return more, err
}

// takeUp takes the next frame from the writer, if there is one and it fits.
func (s *sender) takeUp(fits func(int) bool, any bool) (taken bool, err error) {
	s.full = false
	if s.ended {
		return false, nil
	}
	frame, full, err := s.out.take(fits, any)
	if s.full = full; err != nil || frame == nil {
		return false, err
	}
	s.number++
	s.ended = wire.Ends(frame)
	s.win.add(len(frame))
	s.octets += int64(len(frame))
	s.held = append(s.held, heldFrame{s.number, frame})
	s.store.pause = 0
	return true, nil
}

// drop drops the held frames up to a number.
func (s *sender) drop(number uint64) {
	n := 0
	for _, f := range s.held {
		if f.number > number {
			break
		}
		n++
		s.octets -= int64(len(f.octets))
		if cap(f.octets) > DefaultFrameTarget/2 {
			frameStorage.Put(&f.octets)
		}
	}
	s.held = slices.Delete(s.held, 0, n)
}

// reconnected sends again what may be lost, and requests a credit that may be lost.
func (s *sender) reconnected() error {
	var err error
	switch {
	case s.direct.on:
		err = s.sendDirectly()
	case s.store.busy:
		err = s.storeAgain()
	}
	return errors.Join(err, s.askCredit())
}

// overdue is called when the timer fires.
func (s *sender) overdue(ctx context.Context) error {
	switch {
	case s.asking:
		s.asking = false
		return nil
	case s.store.parting:
		s.store.parting = false
		return checkStream(ctx, s.js, s.addr.Stream)
	case s.direct.on:
		s.silence()
		return nil
	case s.store.busy:
		return s.tryAgain(ctx)
	case s.store.pause > 0:
		s.rest()
		return s.askCredit()
	}
	return nil
}

// askCredit requests the last stored credit. The answer arrives like any other message.
func (s *sender) askCredit() error {
	subject := apiSubject(s.js, "DIRECT.GET."+s.addr.Stream+"."+s.addr.Credit+s.ends.peer)
	return s.publish(subject, s.inbox+replyAsk, nil)
}

// askWho asks which executor reads: somebody else has stored a message on the subject of credits.
func (s *sender) askWho() error {
	return s.publish(contract.AskJobExecutor+s.ends.own, s.inbox+replyWho, s.ends.who)
}

// send publishes a message to the reader.
func (s *sender) send(data []byte) error {
	message, done := s.ends.pack(s.direct.subject, data)
	defer done()
	return s.publish(s.direct.subject, s.credits+replyCredit, message)
}

// publish publishes a message whose answer arrives as a message. If it is lost because the connection breaks,
// reconnected sends it again, or the timer does.
func (s *sender) publish(subject, reply string, data []byte) error {
	err := s.nc.PublishRequest(subject, reply, data)
	if errors.Is(err, nats.ErrMaxPayload) {
		return s.broken(err.Error())
	}
	return unlessPassing(err)
}

func (s *sender) message(ctx context.Context, m *nats.Msg) error {
	token, mine := strings.CutPrefix(m.Subject, s.inbox)
	code := status(m)
	switch {
	case !mine:
		return s.heardOf(m, code)
	case token == replyClear:
		return nil
	case token == replyWho:
		return s.toldWho(m.Data)
	case token == replyAsk:
		return s.answered(ctx, code, m)
	case code == "503":
		return s.unanswered(ctx)
	}
	return s.confirmed(token, m.Data)
}

// heardOf handles a message of the reader, an echo, or the broker's word that there is no reader.
func (s *sender) heardOf(m *nats.Msg, code string) error {
	token, answer := strings.CutPrefix(m.Subject, s.credits)
	switch {
	case answer && token == replyEcho:
		s.direct.busy = false
		return nil
	case answer && code == "503":
		s.direct.on = false // no subscriber: it may be back soon
		return nil
	}
	data, ok := s.ends.open(m.Subject, m.Data)
	if !ok {
		return nil
	}
	if !answer {
		if _, err := wire.ParseCredit(data); err != nil {
			return nil // any client can direct an answer of the broker to this subject
		}
		s.ends.met(m.Subject, s.addr.Credit)
	}
	return s.credit(data)
}

// answered handles the answer to askCredit.
func (s *sender) answered(ctx context.Context, code string, m *nats.Msg) error {
	data := m.Data
	if code == "" {
		var ok bool
		if data, ok = s.ends.openStored(m, s.addr.Credit); !ok && !s.ends.known() && s.ends.who != nil {
			return s.askWho()
		} else if !ok {
			code = "404"
		}
	}
	s.asking, s.store.parting = false, false
	switch code {
	case "":
		return s.credit(data)
	case "503":
		return checkStream(ctx, s.js, s.addr.Stream)
	}
	return nil // no credit is stored yet
}

// toldWho handles the answer to askWho. The reader may not have started.
func (s *sender) toldWho(answer []byte) error {
	if s.ends.told(answer); s.ends.known() {
		return s.askCredit()
	}
	s.asking, s.store.parting = false, false
	return nil
}

func (s *sender) credit(data []byte) error {
	c, err := wire.ParseCredit(data)
	if err != nil {
		return s.broken("a malformed credit: " + err.Error())
	}
	if s.claims && c.Frame > 0 {
		if len(s.held) == 0 {
			return ErrTaken
		}
		c.Frame = 0 // the broker's answer to ours says whose frame that was
	}
	news, err := s.win.consume(c.Frame)
	switch {
	case err != nil:
		return s.broken(err.Error())
	case c.Closed:
		return ErrReaderClosed
	}
	if news {
		if err := s.consumed(c.Frame); err != nil {
			return err
		}
	}
	return s.heard(c.Attach, news)
}

// consumed records the frames that the reader has consumed.
func (s *sender) consumed(number uint64) error {
	if len(s.held) > 0 && s.held[0].number <= number {
		s.leave()
	}
	s.drop(number)
	s.direct.progress = time.Now()
	if !s.store.busy {
		s.store.pause = 0
	}
	return s.clear(number)
}

func (s *sender) broken(message string) error {
	frame := s.number
	if s.store.busy {
		frame = s.held[0].number
	}
	return &ProtocolError{Edge: s.addr.Subject, Frame: frame, Message: message}
}
