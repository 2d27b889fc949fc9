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

// inSlot returns the number of the frame that is stored in the slot of a frame, or 0 if there is none.
func inSlot(ctx context.Context, js jetstream.JetStream, a contract.Address, frame uint64) (uint64, error) {
	m, err := js.Conn().RequestWithContext(ctx, apiSubject(js, "DIRECT.GET."+a.Stream+"."+a.Slot(frame)), nil)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return 0, errors.Join(checkStream(ctx, js, a.Stream), err)
	case err != nil:
		return 0, err
	}
	switch code := m.Header.Get("Status"); code {
	case "":
		return wire.Number(m.Data), nil
	case "404":
		return 0, nil
	default:
		return 0, fmt.Errorf("read the slot of frame %d of %s: status %s", frame, a.Subject, code)
	}
}

// lookFor is how long the broker keeps the consumer of an Unread whose caller has exited.
const lookFor = 5 * time.Second

// Unread returns the size, in bytes, of the stored frames of an edge after those that its reader has consumed.
// Everything sent is stored while there is no reader. It is 0 for a flow that was planned before version 0.2.
func Unread(
	ctx context.Context, js jetstream.JetStream, a contract.Address, consumed uint64,
) (total int64, err error) {
	if a.Slots == 0 {
		return 0, nil
	}
	// The slot may still hold a consumed frame of an earlier round.
	if first, err := inSlot(ctx, js, a, consumed+1); err != nil || first != consumed+1 {
		return 0, err
	}
	slots, err := storedFrames(ctx, js, a)
	if err != nil {
		return 0, fmt.Errorf("measure what is stored of %s: %w", a.Subject, err)
	}
	last := uint64(0)
	for frame := consumed + 1; ; frame++ {
		f, stored := slots[a.Slot(frame)]
		if !stored || f.size < wire.HeaderSize || f.seq <= last { // cleared, or of an earlier round
			return total, nil
		}
		total += f.size
		last = f.seq
	}
}

// A slotFrame describes the message in a slot: its place in the stream, and its size.
type slotFrame struct {
	seq  uint64
	size int64
}

// storedFrames returns the stored messages of an edge, by subject.
func storedFrames(ctx context.Context, js jetstream.JetStream, a contract.Address) (map[string]slotFrame, error) {
	c, err := js.OrderedConsumer(ctx, a.Stream, jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{a.Subject + ".*"}, HeadersOnly: true, InactiveThreshold: lookFor,
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
