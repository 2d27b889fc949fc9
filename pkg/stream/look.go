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

// mostCredits is the maximum number of last messages per request: nats-server allows 1,024. On sealed edges, others may
// have stored something, too.
const (
	mostCredits       = 1000
	mostSealedCredits = 300
)

// Credits returns the last stored credits of edges in one stream, by the credit's subject in the address. A reader that
// receives frames directly stores one each second at most: the figures may be that old. ErrGone means that the stream
// does not exist.
func Credits(
	ctx context.Context, js jetstream.JetStream, stream string, edges ...contract.Address,
) (map[string]wire.Credit, error) {
	out := make(map[string]wire.Credit)
	most := mostCredits
	if slices.ContainsFunc(edges, func(a contract.Address) bool { return a.Salt != "" }) {
		most = mostSealedCredits
	}
	for some := range slices.Chunk(edges, most) {
		if err := addCredits(ctx, js, stream, some, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// errTooMany means that more messages match a request than the broker sends.
var errTooMany = errors.New("too many messages match")

// addCredits adds the last stored credits to out.
func addCredits(
	ctx context.Context, js jetstream.JetStream, stream string, edges []contract.Address, out map[string]wire.Credit,
) error {
	err := addLast(ctx, js, stream, edges, out)
	if !errors.Is(err, errTooMany) || len(edges) == 1 {
		return err
	}
	half := len(edges) / 2
	return errors.Join(addCredits(ctx, js, stream, edges[:half], out), addCredits(ctx, js, stream, edges[half:], out))
}

// addLast makes one request.
func addLast(
	ctx context.Context, js jetstream.JetStream, stream string, edges []contract.Address, out map[string]wire.Credit,
) error {
	byCredit := make(map[string]contract.Address, len(edges))
	subjects := make([]string, len(edges))
	for i, a := range edges {
		byCredit[a.Credit] = a
		subjects[i] = a.From("*", a.Credit)
		if a.Reader != nil && a.Reader.Name != "" {
			subjects[i] = a.From(a.Reader.Name, a.Credit)
		}
	}
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
			addCredit(m, byCredit, out)
		case "204", "404": // the end; there are none
			return nil
		case "413":
			return errTooMany
		case "503":
			return errors.Join(checkStream(ctx, js, stream), nats.ErrNoResponders)
		default:
			return fmt.Errorf("read the credits %s: status %s %s", subjects[0], code, m.Header.Get("Description"))
		}
	}
}

// addCredit adds a stored credit if it is that of its edge's reader.
func addCredit(m *nats.Msg, edges map[string]contract.Address, out map[string]wire.Credit) {
	base := contract.WithoutSender(m.Header.Get(nats.JSSubject))
	x, _, err := newEnd(edges[base], "", edges[base].Reader)
	if err != nil {
		return
	}
	data, ok := x.openStored(m, base)
	if !ok {
		return
	}
	// A user may have read with two clients of different names, one after the other.
	if c, err := wire.ParseCredit(data); err == nil && (c.Closed || c.Records >= out[base].Records) {
		out[base] = c
	}
}

// Begun reports whether the first frame of an edge is stored. It is not stored if the reader receives frames directly,
// and no longer stored after it was consumed.
func Begun(ctx context.Context, js jetstream.JetStream, a contract.Address) (bool, error) {
	body, err := last(ctx, js, a, a.Writer, a.Slot(1))
	return wire.Number(body) > 0, err
}

// LastCredit returns the last stored credit of one edge, or the zero credit if there is none. It needs fewer rights than
// Credits.
func LastCredit(ctx context.Context, js jetstream.JetStream, a contract.Address) (c wire.Credit, err error) {
	body, err := last(ctx, js, a, a.Reader, a.Credit)
	if err != nil || body == nil {
		return c, err
	}
	return wire.ParseCredit(body)
}

// last returns the last message that an end of an edge has stored on one of the edge's subjects, or nil if there is none.
func last(
	ctx context.Context, js jetstream.JetStream, a contract.Address, by *contract.End, subject string,
) ([]byte, error) {
	x, a, err := newEnd(a, "", by)
	if err != nil {
		return nil, err
	}
	return x.last(ctx, js, a.Stream, subject)
}

// Behind reports whether a frame after the given one is stored on a sealed edge, or may be. Frames are stored in order, so
// the last message shows that, unless it clears a slot.
func Behind(ctx context.Context, js jetstream.JetStream, a contract.Address, frame uint64) (bool, error) {
	x, a, err := newEnd(a, "", a.Writer)
	if err != nil {
		return false, err
	}
	all := a.Subject + ".*"
	behind, sure, err := x.behind(ctx, js, a, all, frame)
	for i := uint64(0); err == nil && !behind && !sure && i < uint64(a.Slots); i++ {
		behind, _, err = x.behind(ctx, js, a, a.Slot(i), frame)
	}
	return behind, err
}

// behind looks at the last message on a subject. A slot that was cleared shows nothing of others. A message that is not
// the writer's may hide another one.
func (x *end) behind(
	ctx context.Context, js jetstream.JetStream, a contract.Address, base string, frame uint64,
) (behind, sure bool, err error) {
	m, err := getLast(ctx, js, a.Stream, base+x.peer)
	switch {
	case err != nil || m == nil:
		return false, true, err
	case len(m.Data) == 0:
		return false, false, nil
	}
	data, ok := x.openStored(m, base)
	return !ok || wire.Number(data) > frame, ok, nil
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

// Backlogs returns the backlogs of the edges of a flow, all in one shard. consumed is the number of the last consumed
// frame of each edge. There are none for a flow that was planned before version 0.2.
func Backlogs(
	ctx context.Context, js jetstream.JetStream, shard, flow string, edges []contract.Address, consumed []uint64,
) ([]Backlog, error) {
	out := make([]Backlog, len(consumed))
	stored, err := storedFrames(ctx, js, contract.EdgeStream(shard), contract.FlowFrames(shard, flow))
	if err != nil {
		return out, fmt.Errorf("measure the edges of flow %s: %w", flow, err)
	}
	used := make(map[string]bool, len(stored)) // slots, whoever stored there
	for subject := range stored {
		used[contract.WithoutSender(subject)] = true
	}
	for n, a := range edges {
		first := consumed[n] + 1
		if a.Slots == 0 || !used[a.Slot(first)] {
			continue
		}
		x, a, err := newEnd(a, "", a.Writer)
		if err != nil {
			return out, err
		}
		// The slot may still hold a consumed frame of an earlier round.
		body, err := x.last(ctx, js, a.Stream, a.Slot(first))
		if err != nil {
			return out, err
		}
		if wire.Number(body) == first {
			out[n] = backlog(stored, a, x, first)
		}
	}
	return out, nil
}

// backlog adds up the stored frames of an edge from the first one on.
func backlog(stored map[string]slotFrame, a contract.Address, x end, first uint64) (b Backlog) {
	last, more := uint64(0), int64(0)
	if x.seal != nil {
		more = wire.SealSize // what is stored has, and the window does not count
	}
	for frame := first; ; frame++ {
		f, ok := stored[a.Slot(frame)+x.peer]
		f.size -= more
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
