package audit

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/dagyo/dagyo/services/dagyo/conformance/tap"
)

// Ahead is how far a writer ran ahead of its reader, at most.
type Ahead struct {
	Octets, Frames int64
	// Sent is the number of the last frame.
	Sent uint64
}

// Window goes through what an executor wrote to the edge at addr. It returns how far it ran ahead of the
// credit that it had been given, and an error where that is more than the window allows.
func Window(messages []tap.Message, addr contract.Address) (Ahead, error) {
	w := writerView{addr: addr, replies: map[string]bool{}, sizes: map[uint64]int64{}}
	for _, m := range messages {
		if err := w.see(m); err != nil {
			return w.most, err
		}
	}
	return w.most, nil
}

// writerView follows the frames that a writer sends and the credits that it hears.
type writerView struct {
	addr     contract.Address
	replies  map[string]bool // subjects on which the writer takes credits
	sizes    map[uint64]int64
	octets   int64 // of frames sent and not consumed
	consumed uint64
	most     Ahead
}

func (w *writerView) see(m tap.Message) error {
	switch {
	case m.Op == tap.Pub && IsFrame(m, w.addr):
		w.expectCredit(m)
		return w.sent(wire.Number(m.Data), int64(m.Size))
	case m.Op == tap.Pub && strings.HasSuffix(m.Subject, "."+w.addr.Stream+"."+w.addr.Credit):
		w.expectCredit(m)
	case m.Op == tap.Msg && (m.Subject == w.addr.Credit || w.replies[m.Subject]):
		if c, err := wire.ParseCredit(m.Data); err == nil {
			w.consume(c.Frame)
		}
	}
	return nil
}

func (w *writerView) expectCredit(m tap.Message) {
	if m.Reply != "" {
		w.replies[m.Reply] = true
	}
}

// sent notes a frame; one that was sent before is the same frame.
func (w *writerView) sent(number uint64, size int64) error {
	if _, again := w.sizes[number]; again || number <= w.consumed {
		return nil
	}
	alone := len(w.sizes) == 0
	w.sizes[number] = size
	w.octets += size
	w.most.Sent = max(w.most.Sent, number)
	if alone {
		return nil // with nothing unconsumed any frame may be sent
	}
	w.most.Octets, w.most.Frames = max(w.most.Octets, w.octets), max(w.most.Frames, int64(len(w.sizes)))
	if w.octets > w.addr.Window || int64(len(w.sizes)) > w.addr.Frames {
		return fmt.Errorf("frame %d of %s went out while %d frames with %d octets were unconsumed; "+
			"the window is %d frames and %d octets",
			number, w.addr.Subject, len(w.sizes), w.octets, w.addr.Frames, w.addr.Window)
	}
	return nil
}

func (w *writerView) consume(number uint64) {
	w.consumed = max(w.consumed, number)
	for n, size := range w.sizes {
		if n <= number {
			delete(w.sizes, n)
			w.octets -= size
		}
	}
}

// IsFrame reports whether the message is a frame of the edge at addr, sent to the stream or directly.
func IsFrame(m tap.Message, addr contract.Address) bool {
	if !stored(m, addr) && !strings.HasPrefix(m.Subject, addr.Direct+".") {
		return false
	}
	_, hint := wire.ParseHint(m.Data)
	return !hint && m.Size >= wire.HeaderSize
}

// stored reports whether the message is on a slot of the edge at addr.
func stored(m tap.Message, addr contract.Address) bool {
	return strings.HasPrefix(m.Subject, addr.Subject+".")
}

// Frames checks the form of what an executor wrote to the edge at addr: the size of each frame, the slot on which
// it is stored, and that END is said in one frame only. It returns how many there were, and whether one had END.
func Frames(messages []tap.Message, addr contract.Address, maxPayload int64) (n int, ended bool, err error) {
	limit := min(addr.Window/4, maxPayload, stream.MaxFrame)
	var end, last uint64
	before := make(map[uint64]bool) // frames that were published to their slots
	for _, m := range messages {
		if m.Op != tap.Pub || !IsFrame(m, addr) {
			continue
		}
		number := wire.Number(m.Data)
		last = max(last, number)
		if m.Data[1]&wire.FlagEnd != 0 {
			if end != 0 && end != number {
				return n, true, fmt.Errorf("frames %d and %d of %s both have END", end, number, addr.Subject)
			}
			end = number
		}
		if int64(m.Size) > limit {
			return n, end != 0, fmt.Errorf("frame %d of %s has %d bytes; at most a quarter of the window, "+
				"max_payload and 128 KiB are allowed, %d", number, addr.Subject, m.Size, limit)
		}
		if stored(m, addr) {
			if err := slotted(m, addr, number, before[number]); err != nil {
				return n, end != 0, err
			}
			before[number] = true
		}
		n++
	}
	if end != 0 && last > end {
		return n, true, fmt.Errorf("frame %d of %s came behind frame %d, which has END", last, addr.Subject, end)
	}
	return n, end != 0, nil
}

// slotted checks where a frame is stored, and that it overwrites nothing that its writer does not know of. again is true
// if it was published there before: if that was not answered, its writer does not know what the slot holds.
func slotted(m tap.Message, addr contract.Address, number uint64, again bool) error {
	if want := addr.Slot(number); m.Subject != want {
		return fmt.Errorf("frame %d was stored on %s; its slot is %s", number, m.Subject, want)
	}
	const header = jetstream.ExpectedLastSubjSeqHeader
	if got := m.Header.Get(header); number < uint64(addr.Slots) && got != "0" && (got != "" || !again) {
		return fmt.Errorf("frame %d is the first in its slot and has %s %q, not 0", number, header, got)
	}
	return nil
}

// Credits checks the credits that an executor gave on the edge at addr: their form, that none takes back
// what another gave, and that none is for a frame that was not sent. It returns the last one.
func Credits(messages []tap.Message, addr contract.Address) (last wire.Credit, n int, err error) {
	replies := map[string]bool{addr.Credit: true}
	var sent uint64
	for _, m := range messages {
		switch {
		case m.Op == tap.Msg && strings.HasPrefix(m.Subject, addr.Direct+"."):
			replies[m.Reply] = m.Reply != ""
			sent = max(sent, wire.Number(m.Data))
		case m.Op == tap.Msg && strings.HasPrefix(m.Header.Get("Nats-Subject"), addr.Subject+"."):
			sent = max(sent, wire.Number(m.Data))
		case m.Op == tap.Pub && replies[m.Subject]:
			if last, err = follows(last, m, addr, sent); err != nil {
				return last, n, err
			}
			n++
		}
	}
	return last, n, nil
}

// follows reads the credit that was given after another.
func follows(before wire.Credit, m tap.Message, addr contract.Address, sent uint64) (wire.Credit, error) {
	c, err := wire.ParseCredit(m.Data)
	switch {
	case err != nil:
		return c, fmt.Errorf("a credit of %s is malformed: %w", addr.Subject, err)
	case c.Frame < before.Frame || c.Records < before.Records || c.Octets < before.Octets ||
		c.Attach < before.Attach:
		return c, fmt.Errorf("a credit of %s takes back what was given: %+v after %+v", addr.Subject, c, before)
	case c.Frame > sent:
		return c, fmt.Errorf("a credit of %s is for frame %d, and only %d had come", addr.Subject, c.Frame, sent)
	}
	return c, nil
}
