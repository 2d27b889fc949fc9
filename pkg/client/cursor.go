package client

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
)

// A stored message of EVENTS.
type stored = jetstream.RawStreamMsg

const (
	// batchMost and batchBytes limit what one request for a batch returns.
	batchMost  = 256
	batchBytes = 256 << 10
)

// A cursor is the place in EVENTS up to which the messages on some subjects were read.
type cursor struct {
	subjects string
	// through is the number up to which every message on the subjects was read.
	through uint64
	// over is true if the leader had no further message in this round.
	over bool
	// got are the messages that were read and not yet delivered.
	got []*stored
	// asks is what the open request asks for, and request its number.
	asks    asking
	request uint64
	// before is the last message of the batch that is arriving.
	before uint64
}

type asking int

const (
	nothing asking = iota
	// theNext asks the leader for the next message: whether there is one, up to the end of the stream, only the leader
	// knows.
	theNext
	// aBatch asks a replica for the messages that follow. It may be behind the leader.
	aBatch
)

// full reports whether enough messages wait to be delivered.
func (c *cursor) full() bool {
	bytes := 0
	for _, m := range c.got {
		bytes += len(m.Data)
	}
	return len(c.got) >= batchMost || bytes >= batchBytes
}

// begin begins a round.
func (c *cursor) begin() { c.over, c.asks, c.request = false, nothing, 0 }

// done reports whether a round has read everything up to the number last.
func (c *cursor) done(last uint64) bool { return c.over || c.through >= last }

// query returns the next request of a round that reads up to the number last.
func (c *cursor) query(last uint64) (q broker.Query, more bool) {
	switch {
	case c.done(last), c.full():
		c.asks = nothing
		return q, false
	case c.asks == theNext:
		c.asks, c.before = aBatch, 0
		q.Batch, q.MaxBytes = batchMost, batchBytes
	default:
		c.asks = theNext
	}
	q.Seq, q.Next = c.through+1, c.subjects
	return q, true
}

// next handles the leader's answer; m is nil if it has no further message. The leader had all messages up to known when
// it was asked.
func (c *cursor) next(m *stored, known uint64) error {
	if m == nil {
		c.over, c.through = true, max(c.through, known)
		return nil
	}
	return c.add(m)
}

// batch handles one message of a batch. One may be lost with the connection.
func (c *cursor) batch(a broker.ReplicaAnswer) error {
	if a.Before != c.before {
		return fmt.Errorf("message %d is missing in an answer of the broker", a.Before)
	}
	c.before = a.Message.Sequence
	return c.add(a.Message)
}

func (c *cursor) add(m *stored) error {
	if m.Sequence <= c.through {
		return fmt.Errorf("the broker answered with message %d after message %d", m.Sequence, c.through)
	}
	c.through = m.Sequence
	c.got = append(c.got, m)
	return nil
}

// rewind continues behind the number last, because the stream has lost what followed it.
func (c *cursor) rewind(last uint64) {
	c.through = min(c.through, last)
	c.got = slices.DeleteFunc(c.got, func(m *stored) bool { return m.Sequence > last })
}

// ready takes the messages that can be delivered: those up to where all cursors have read, in order, each once.
func ready(cursors []*cursor) (out []*stored) {
	limit := uint64(math.MaxUint64)
	for _, c := range cursors {
		limit = min(limit, c.through)
	}
	for _, c := range cursors {
		n, _ := slices.BinarySearchFunc(c.got, limit+1, bySequence)
		out = append(out, c.got[:n]...)
		c.got = slices.Clone(c.got[n:]) // free what is delivered
	}
	slices.SortFunc(out, func(a, b *stored) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return slices.CompactFunc(out, func(a, b *stored) bool { return a.Sequence == b.Sequence })
}

func bySequence(m *stored, seq uint64) int { return cmp.Compare(m.Sequence, seq) }

// unread reports whether a cursor has not read up to the number last, or has messages that wait for other cursors.
func unread(cursors []*cursor, last uint64) bool {
	return slices.ContainsFunc(cursors, func(c *cursor) bool { return !c.done(last) || len(c.got) > 0 })
}
