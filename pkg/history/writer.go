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
	// messageLimit limits a segment, however large a message the server accepts.
	messageLimit = 4 << 20
	// messageSlack is what a publication adds to a segment: headers for JetStream.
	messageSlack = 1 << 10
	// batchLimit is the maximum number of messages that the server stores atomically.
	batchLimit = 1000
)

// A Writer appends to history. Its methods may be called concurrently. If writers in several processes append at the
// same time, one succeeds and the others get an error.
type Writer struct {
	link *broker.Link

	mu     sync.Mutex
	packer packer
	// last is the end of the stream; it is nil if it must be read.
	last *end
}

// An end is the last sequence of the stream, and the place in EVENTS up to which history is stored.
type end struct{ seq, upto uint64 }

// NewWriter returns a writer to StreamHistory, which must exist.
func NewWriter(link *broker.Link) *Writer { return &Writer{link: link, packer: newPacker()} }

// Append stores the statuses of ended flows, in the given order. Upto is the place in EVENTS of the last event that
// they include, and grows with every append. Either all records are stored, or none.
//
// Repeating a stored append, with the same upto, succeeds. The error is [ErrSuperseded] if history is stored beyond
// upto, and [ErrContended] if another writer appended in the meantime. After any other error it is unknown whether
// the records are stored: append them again.
//
// Records are stored in segments of at most 512. Pass about that many, or 1 MiB of JSON: fewer make the index larger,
// more take longer. A record that is too large for a message is stored without details, as noted in its Omitted.
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

// readEnd finds the end of history, unless the last append was ours.
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

// publish stores all messages after the sequence last, or none, and returns the new last sequence.
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

// batch marks messages as an atomic batch, which the server stores when it receives the last one.
func batch(messages []*nats.Msg) {
	id := nuid.Next()
	for i, m := range messages {
		m.Header.Set("Nats-Batch-Id", id)
		m.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
	}
	messages[len(messages)-1].Header.Set("Nats-Batch-Commit", "1")
}
