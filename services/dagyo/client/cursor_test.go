package client

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/dagyo/dagyo/pkg/broker"
)

// A log is a stream with three subjects. Its leader has all messages, its replicas the first ones.
type log []int // the subject of each message; -1 for a deleted one

func (l log) after(subject int, seq uint64, from []int) (*stored, bool) {
	for i := int(seq); i < len(from); i++ {
		if l[i] == subject {
			return &stored{Sequence: uint64(i + 1), Subject: fmt.Sprint(subject)}, true
		}
	}
	return nil, false
}

// Whatever the replicas are behind by, and wherever a batch is cut off, cursors deliver every message once and in order.
func TestCursorsDeliverTheStream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := log(rapid.SliceOfN(rapid.IntRange(-1, 2), 0, 60).Draw(t, "stream"))
		cursors := []*cursor{{subjects: "0"}, {subjects: "1"}, {subjects: "2"}}
		var got []uint64
		for last := uint64(0); last < uint64(len(all)) || unread(cursors, last); {
			last += uint64(rapid.IntRange(0, len(all)-int(last)).Draw(t, "more"))
			for subject, c := range cursors {
				roundOf(t, c, all, subject, last)
			}
			for _, m := range ready(cursors) {
				got = append(got, m.Sequence)
			}
		}
		var want []uint64
		for i, subject := range all {
			if subject >= 0 {
				want = append(want, uint64(i+1))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("delivered %v, want %v", got, want)
		}
	})
}

// roundOf plays one cursor's part of a round. The connection may be lost at any point.
func roundOf(t *rapid.T, c *cursor, all log, subject int, last uint64) {
	c.asks = nothing
	for {
		q, more := c.query(last)
		if !more || rapid.IntRange(0, 9).Draw(t, "lost") == 0 {
			return
		}
		if c.asks == theNext {
			m, _ := all.after(subject, q.Seq-1, all)
			if err := c.next(m, last); err != nil {
				t.Fatal(err)
			}
			continue
		}
		behind := all[:rapid.IntRange(0, len(all)).Draw(t, "replica")]
		before := uint64(0)
		for n := rapid.IntRange(0, 4).Draw(t, "batch"); n > 0; n-- {
			m, ok := all.after(subject, max(q.Seq-1, before), behind)
			if !ok {
				break
			}
			if err := c.batch(broker.ReplicaAnswer{Message: m, Before: before}); err != nil {
				t.Fatal(err)
			}
			before = m.Sequence
		}
	}
}

// A batch of which a message was lost with the connection is not used.
func TestCursorSeesAHole(t *testing.T) {
	c := &cursor{subjects: "a", asks: theNext}
	c.query(10)
	if err := c.batch(broker.ReplicaAnswer{Message: &stored{Sequence: 3}}); err != nil {
		t.Fatal(err)
	}
	if err := c.batch(broker.ReplicaAnswer{Message: &stored{Sequence: 7}, Before: 5}); err == nil {
		t.Error("message 5 is missing, and nothing is said")
	}
	if c.through != 3 {
		t.Errorf("through %d, want 3", c.through)
	}
}

// When the stream has lost its end, a cursor reads what is stored after that.
func TestCursorRewinds(t *testing.T) {
	c := &cursor{through: 9, got: []*stored{{Sequence: 5}, {Sequence: 8}}}
	c.rewind(6)
	if c.through != 6 || len(c.got) != 1 || c.got[0].Sequence != 5 {
		t.Errorf("through %d with %d messages", c.through, len(c.got))
	}
}
