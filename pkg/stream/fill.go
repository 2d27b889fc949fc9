package stream

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/wire"
)

// Frames packs all records of an edge, and its end, into frames. The frames depend only on the records, so
// they may be stored more than once.
func Frames[Record ~[]byte](records []Record) ([][]byte, error) {
	enc := wire.NewEncoder(DefaultFrameTarget, 2*DefaultFrameTarget)
	var frames [][]byte
	for _, r := range records {
		for rest, done := []byte(r), false; !done; {
			if enc.Size() >= DefaultFrameTarget {
				frames = append(frames, enc.Take(nil))
			}
			var n int
			n, done = enc.Append(rest)
			if rest = rest[n:]; !done {
				frames = append(frames, enc.Take(nil))
			}
		}
	}
	last, err := enc.Finish()
	return append(frames, last), err
}

// Fill writes a whole edge, whose records must fit into its window, and returns once it is stored. It may be
// repeated with the same records, also by another process. It notifies a waiting reader. ErrGone means that
// the edge is no longer needed.
func Fill(
	ctx context.Context, js jetstream.JetStream, addr contract.Address, records ...[]byte,
) error {
	frames, err := Frames(records)
	if err == nil {
		err = Store(ctx, js, addr, frames)
	}
	if err == nil {
		err = hintAt(ctx, js, addr, uint64(len(frames)))
	}
	return edgeError(addr.Subject, err)
}

// Store stores those of the first frames of an edge that are not stored yet.
func Store(ctx context.Context, js jetstream.JetStream, addr contract.Address, frames [][]byte) error {
	x, addr, err := newEnd(addr, contract.Nobody, addr.Reader)
	if err != nil {
		return err
	}
	for i, f := range frames {
		var opts []jetstream.PublishOpt
		if addr.Slots > 0 {
			opts = append(opts, jetstream.WithExpectLastSequencePerSubject(0))
		}
		subject := addr.Slot(uint64(i)+1) + x.own
		message, done := x.pack(subject, f)
		_, err := js.Publish(ctx, subject, message, opts...)
		done()
		if WrongLastSequence(err) {
			continue
		}
		if err != nil {
			return errors.Join(err, checkStream(ctx, js, addr.Stream))
		}
	}
	return nil
}

// hintAt tells the reader that the stream holds frames up to that number. A reader that starts to wait at
// the same moment misses it, and checks the stream itself a second later.
func hintAt(
	ctx context.Context, js jetstream.JetStream, addr contract.Address, last uint64,
) error {
	c, err := LastCredit(ctx, js, addr)
	if err != nil {
		return fmt.Errorf("find the edge's reader: %w", err)
	}
	if c.Attach == 0 || c.Closed {
		return nil // it will read the stream when it starts
	}
	x, addr, err := newEnd(addr, contract.Nobody, addr.Reader)
	if err != nil {
		return err
	}
	subject := addr.Direct + "." + strconv.FormatUint(c.Attach, 10)
	message, done := x.pack(subject, wire.Hint(last))
	defer done()
	return js.Conn().Publish(subject, message)
}
