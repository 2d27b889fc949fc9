package history

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
)

const (
	// messageLimit bounds a segment however large a message the server takes.
	messageLimit = 4 << 20
	// messageSlack is what a publication adds to a segment: headers for JetStream.
	messageSlack = 1 << 10
	// batchLimit is how many messages the server stores all or none.
	batchLimit = 1000
)

// A Writer appends to history. Its methods may be called concurrently; in other processes there may be
// other writers, of which one is first and the others get an error.
type Writer struct {
	link *broker.Link

	mu     sync.Mutex
	packer packer
	// last is the end of the stream; nil when it must be read.
	last *end
}

// An end is the last sequence of the stream, and how far in EVENTS history is stored.
type end struct{ seq, upto uint64 }

// NewWriter returns a writer to StreamHistory, which must exist.
func NewWriter(link *broker.Link) *Writer { return &Writer{link: link, packer: newPacker()} }

// Append stores the statuses of ended flows, in the order in which they are to be remembered. Upto is
// the place in EVENTS of the last event that they include, and grows from append to append. All
// records are stored, or none.
//
// An append that was stored before, with the same upto, is done: the error is nil. The error is
// [ErrSuperseded] when history is stored beyond upto, and [ErrContended] when another writer came in
// between. After any other error it is not known whether the records are stored: append them again.
//
// Records go into segments of 512 at most. Give it about that many, or 1 MiB of JSON: fewer make the
// index larger, more take longer. A record that is too large for a message is stored without details,
// and says so in Omitted.
func (w *Writer) Append(ctx context.Context, records []contract.FlowStatus, upto uint64) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.append(ctx, records, upto); err != nil {
		w.last = nil
		return fmt.Errorf("store %d flows in history: %w", len(records), err)
	}
	return nil
}

func (w *Writer) append(ctx context.Context, records []contract.FlowStatus, upto uint64) error {
	if len(records) == 0 {
		return nil
	}
	if err := w.readEnd(ctx); err != nil {
		return err
	}
	switch {
	case upto == w.last.upto:
		return nil
	case upto < w.last.upto:
		return fmt.Errorf("%w: %d after %d", ErrSuperseded, upto, w.last.upto)
	}
	messages, err := w.packer.pack(records, upto, int(min(w.link.MaxPayload(), messageLimit))-messageSlack)
	if err != nil {
		return err
	}
	seq, err := w.publish(ctx, messages, w.last.seq)
	if err != nil {
		return err
	}
	w.last = &end{seq, upto}
	return nil
}

// readEnd finds out where history ends, unless the last append was ours.
func (w *Writer) readEnd(ctx context.Context) error {
	if w.last != nil {
		return nil
	}
	stream, err := w.link.JS.Stream(ctx, contract.StreamHistory)
	if err != nil {
		return err
	}
	state := stream.CachedInfo().State // of the stream's leader
	found := end{seq: state.LastSeq}
	if state.Msgs > 0 {
		m, err := stream.GetMsg(ctx, state.LastSeq)
		if err != nil {
			return fmt.Errorf("read the last segment: %w", err)
		}
		if found.upto, err = parseUpto(m.Header); err != nil {
			return fmt.Errorf("read the last segment: %w", err)
		}
	}
	w.last = &found
	return nil
}

// publish stores all messages behind the sequence last, or none, and returns the new last sequence.
func (w *Writer) publish(ctx context.Context, messages []*nats.Msg, last uint64) (uint64, error) {
	if len(messages) > batchLimit {
		return 0, fmt.Errorf("%d segments at once; the limit is %d", len(messages), batchLimit)
	}
	messages[0].Header.Set(jetstream.ExpectedLastSeqHeader, strconv.FormatUint(last, 10))
	commit := messages[len(messages)-1]
	if len(messages) > 1 {
		batch(messages)
		for _, m := range messages[:len(messages)-1] {
			if err := w.link.PublishMsg(m); err != nil {
				return 0, err
			}
		}
	}
	ack, err := w.link.JS.PublishMsg(ctx, commit)
	switch {
	case broker.SaidBefore(err):
		return 0, errors.Join(ErrContended, err)
	case err != nil:
		return 0, err
	}
	return ack.Sequence, nil
}

// batch marks messages as an atomic batch, which the server stores with the last one.
func batch(messages []*nats.Msg) {
	id := nuid.Next()
	for i, m := range messages {
		m.Header.Set("Nats-Batch-Id", id)
		m.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
	}
	messages[len(messages)-1].Header.Set("Nats-Batch-Commit", "1")
}
