package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/wire"
)

// mostCredits is the maximum number of last messages per request: nats-server allows 1,024.
const mostCredits = 1000

// Credits returns the last stored credits on the given subjects, by subject. A reader that receives frames
// directly stores one each second at most: the figures may be that old. ErrGone means that the stream does not exist.
func Credits(
	ctx context.Context, js jetstream.JetStream, stream string, subjects ...string,
) (map[string]wire.Credit, error) {
	out := make(map[string]wire.Credit)
	for some := range slices.Chunk(subjects, mostCredits) {
		if err := addCredits(ctx, js, stream, some, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// addCredits adds the last stored credits to out.
func addCredits(
	ctx context.Context, js jetstream.JetStream, stream string, subjects []string, out map[string]wire.Credit,
) error {
	request, err := json.Marshal(map[string][]string{"multi_last": subjects})
	if err != nil {
		return err
	}
	nc := js.Conn()
	sub, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := nc.PublishRequest(apiSubject(js, "DIRECT.GET."+stream), sub.Subject, request); err != nil {
		return err
	}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		switch {
		case errors.Is(err, nats.ErrNoResponders):
			return errors.Join(checkStream(ctx, js, stream), err)
		case err != nil:
			return err
		}
		switch code := status(m); code {
		case "":
			if c, err := wire.ParseCredit(m.Data); err == nil {
				out[m.Header.Get(nats.JSSubject)] = c
			}
		case "204", "404": // the end; there are none
			return nil
		case "503":
			return errors.Join(checkStream(ctx, js, stream), nats.ErrNoResponders)
		default:
			return fmt.Errorf("read the credits %s: status %s %s", subjects[0], code, m.Header.Get("Description"))
		}
	}
}

// Begun reports whether the first frame of an edge is stored. It is not stored if the reader receives frames directly,
// and no longer stored after it was consumed.
func Begun(ctx context.Context, js jetstream.JetStream, a contract.Address) (bool, error) {
	number, err := inSlot(ctx, js, a, 1)
	return number > 0, err
}

// LastCredit returns the last stored credit of one edge, or the zero credit if there is none. It needs fewer rights than
// Credits.
func LastCredit(ctx context.Context, js jetstream.JetStream, a contract.Address) (c wire.Credit, err error) {
	body, err := last(ctx, js, a.Stream, a.Credit)
	if err != nil || body == nil {
		return c, err
	}
	return wire.ParseCredit(body)
}

// inSlot returns the number of the frame that is stored in the slot of a frame, or 0 if there is none.
func inSlot(ctx context.Context, js jetstream.JetStream, a contract.Address, frame uint64) (uint64, error) {
	body, err := last(ctx, js, a.Stream, a.Slot(frame))
	return wire.Number(body), err
}

// last returns the last message that is stored on a subject, or nil if there is none.
func last(ctx context.Context, js jetstream.JetStream, stream, subject string) ([]byte, error) {
	m, err := js.Conn().RequestWithContext(ctx, apiSubject(js, "DIRECT.GET."+stream+"."+subject), nil)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, errors.Join(checkStream(ctx, js, stream), err)
	case err != nil:
		return nil, err
	}
	switch code := status(m); code {
	case "":
		return m.Data, nil
	case "404":
		return nil, nil
	default:
		return nil, fmt.Errorf("read the last message on %s: status %s", subject, code)
	}
}

// lookFor is how long the broker keeps the consumer of a Backlogs that has ended.
const lookFor = 5 * time.Second

// A Backlog is what is stored of an edge behind the frames that its reader has consumed: all that was sent, once the
// reader has consumed nothing for two seconds.
type Backlog struct {
	// Frames and Bytes are the number and the size of the frames.
	Frames, Bytes int64
	largest       int64
}

// Fill returns the used part of the edge's window, in percent.
func (b Backlog) Fill(window, frames int64) int {
	return int(min(100, max(100*b.Bytes/max(window, 1), 100*b.Frames/max(frames, 1))))
}

// Full reports whether the writer has to wait for the reader: another frame does not fit into the window.
func (b Backlog) Full(window, frames int64) bool {
	return b.Frames > 0 && (b.Frames >= frames || b.Bytes+b.largest > window)
}

// Backlogs returns the backlogs of a flow's edges. slots is the number of slots of an edge, consumed is the number of
// the last consumed frame of each edge. A shard stores the edges; there are none for a flow that was planned before
// version 0.2.
func Backlogs(
	ctx context.Context, js jetstream.JetStream, shard, flow string, slots int64, consumed []uint64,
) ([]Backlog, error) {
	out := make([]Backlog, len(consumed))
	stored, err := storedFrames(ctx, js, contract.EdgeStream(shard), contract.FlowFrames(shard, flow))
	if err != nil {
		return out, fmt.Errorf("measure the edges of flow %s: %w", flow, err)
	}
	for n := range out {
		a := contract.EdgeAddress(shard, flow, n, 0, slots, "")
		first := consumed[n] + 1
		if _, any := stored[a.Slot(first)]; slots == 0 || !any {
			continue
		}
		// The slot may still hold a consumed frame of an earlier round.
		number, err := inSlot(ctx, js, a, first)
		if err != nil {
			return out, err
		}
		if number == first {
			out[n] = backlog(stored, a, first)
		}
	}
	return out, nil
}

// backlog adds up the stored frames of an edge from the first one on.
func backlog(stored map[string]slotFrame, a contract.Address, first uint64) (b Backlog) {
	last := uint64(0)
	for frame := first; ; frame++ {
		f, ok := stored[a.Slot(frame)]
		if !ok || f.size < wire.HeaderSize || f.seq <= last { // cleared, or of an earlier round
			return b
		}
		b.Frames++
		b.Bytes += f.size
		b.largest = max(b.largest, f.size)
		last = f.seq
	}
}

// A slotFrame describes the message in a slot: its place in the stream, and its size.
type slotFrame struct {
	seq  uint64
	size int64
}

// storedFrames returns what is stored on some subjects, by subject.
func storedFrames(ctx context.Context, js jetstream.JetStream, stream, subjects string) (map[string]slotFrame, error) {
	c, err := js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subjects}, HeadersOnly: true, InactiveThreshold: lookFor,
	})
	if err != nil {
		return nil, err
	}
	most := c.CachedInfo().NumPending
	if most == 0 {
		return nil, nil
	}
	batch, err := c.FetchNoWait(int(most))
	if err != nil {
		return nil, err
	}
	out := make(map[string]slotFrame, most)
	for m := range batch.Messages() {
		meta, err := m.Metadata()
		if err != nil {
			return nil, err
		}
		size, err := strconv.ParseInt(m.Headers().Get(nats.MsgSize), 10, 64)
		if err != nil {
			return nil, err
		}
		out[m.Subject()] = slotFrame{meta.Sequence.Stream, size}
	}
	return out, batch.Error()
}
