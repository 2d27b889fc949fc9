package client

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/dagyo/dagyo/pkg/broker"
)

// A grower is a stream with three subjects, to which messages are added while it is read.
type grower struct {
	all  []int // the subject of each message; -1 for a deleted one
	have int   // number of messages that the leader has
}

func (g *grower) grow(t *rapid.T) {
	g.have += rapid.IntRange(0, min(5, len(g.all)-g.have)).Draw(t, "more")
}

// from returns the first message on a subject from a number on, of the first ones.
func (g *grower) from(subject int, seq uint64, have int) *stored {
	for i := int(seq) - 1; i < have; i++ {
		if g.all[i] == subject {
			return &stored{Sequence: uint64(i + 1)}
		}
	}
	return nil
}

// However far the replicas are behind, and wherever a batch is cut off, cursors deliver every message once and in order.
func TestCursorsDeliverTheStream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := &grower{all: rapid.SliceOfN(rapid.IntRange(-1, 2), 0, 60).Draw(t, "stream")}
		cursors := []*cursor{{subjects: "0"}, {subjects: "1"}, {subjects: "2"}}
		cursors = cursors[:rapid.IntRange(1, 3).Draw(t, "subjects")]
		var got, want []uint64
		for whole := false; !whole; {
			g.grow(t)
			whole = g.have == len(g.all)
			last := uint64(g.have)
			known := last
			if len(cursors) == 1 && rapid.Bool().Draw(t, "heard") { // anything may be heard
				last, known = last+uint64(rapid.IntRange(0, 9).Draw(t, "ahead")), 0
			}
			for subject, c := range cursors {
				g.round(t, c, subject, last, known)
			}
			whole = whole && !unread(cursors, last)
			for _, m := range ready(cursors) {
				got = append(got, m.Sequence)
			}
		}
		for i, subject := range g.all {
			if subject >= 0 && subject < len(cursors) {
				want = append(want, uint64(i+1))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("delivered %v, want %v", got, want)
		}
	})
}

// round plays one cursor's part of a round. The connection may be lost at any point.
func (g *grower) round(t *rapid.T, c *cursor, subject int, last, known uint64) {
	c.begin()
	for {
		q, more := c.query(last)
		if !more || rapid.IntRange(0, 9).Draw(t, "lost") == 0 {
			return
		}
		g.grow(t)
		if c.asks == theNext {
			if err := c.next(g.from(subject, q.Seq, g.have), known); err != nil {
				t.Fatal(err)
			}
			continue
		}
		replica, before := rapid.IntRange(0, g.have).Draw(t, "replica"), uint64(0)
		for n := rapid.IntRange(0, 4).Draw(t, "batch"); n > 0; n-- {
			m := g.from(subject, max(q.Seq, before+1), replica)
			if m == nil {
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
