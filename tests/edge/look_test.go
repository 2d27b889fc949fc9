package edge

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/pkg/wire"
)

// The consumed and the remaining part of an edge can be read by others.
func TestLooks(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	look := func(what string) (credits int, begun bool, unread int64) {
		t.Helper()
		found, err := stream.Credits(e.ctx, e.observer, e.addr.Stream, contract.CreditSubject("0", "f", 0))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if begun, err = stream.Begun(e.ctx, e.observer, e.addr); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if unread, err = stream.Unread(e.ctx, e.observer, e.addr, found[e.addr.Credit].Frame); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return len(found), begun, unread
	}
	if credits, begun, unread := look("an edge that has not begun"); credits > 0 || begun || unread > 0 {
		t.Errorf("an edge that has not begun has %d credits, begun %v, %d bytes", credits, begun, unread)
	}
	const records, size = 20, testWindow / 50
	sizes := make([]int, records)
	for i := range sizes {
		sizes[i] = size
	}
	if err := sendAll(e.ctx, e.writer(stream.FrameTarget(size)), sizes); err != nil {
		t.Fatal(err)
	}
	credits, begun, all := look("an edge with a writer")
	if credits > 0 || !begun || all < records*size || all > 2*records*size {
		t.Errorf("an edge with a writer has %d credits, begun %v, %d bytes", credits, begun, all)
	}
	r := e.reader()
	const read = 15
	for i := range read {
		if err := expectOne(e.ctx, r, i, size); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(e.ctx); err != nil {
		t.Fatal(err)
	}
	found, err := stream.Credits(e.ctx, e.observer, e.addr.Stream, e.addr.Credit)
	if err != nil {
		t.Fatal(err)
	}
	c := found[e.addr.Credit]
	if c.Records != read || c.Octets != read*size || !c.Closed || c.Frame == 0 {
		t.Errorf("credit %+v after %d of %d records", c, read, records)
	}
	if _, _, unread := look("a partly read edge"); unread == 0 || unread >= all/2 {
		t.Errorf("%d of %d bytes are unread after %d of %d records", unread, all, read, records)
	}
	e.deleteStream()
	if _, err := stream.Credits(e.ctx, e.observer, e.addr.Stream, e.addr.Credit); !errors.Is(err, stream.ErrGone) {
		t.Errorf("credits of a deleted stream: %v", err)
	}
	if _, err := stream.Begun(e.ctx, e.observer, e.addr); !errors.Is(err, stream.ErrGone) {
		t.Errorf("frames of a deleted stream: %v", err)
	}
}

// A slot may still hold a consumed frame of an earlier round, which is not unread.
func TestUnreadOfALaterRound(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	f := forge(e)
	f.publish(f.frame(), f.frame())
	for consumed, want := range map[uint64]bool{0: true, 1: true, 2: false, testFrames: false, testFrames + 1: false} {
		n, err := stream.Unread(e.ctx, e.observer, e.addr, consumed)
		if err != nil || (n > 0) != want {
			t.Errorf("after frame %d: %d bytes are unread, %v", consumed, n, err)
		}
	}
}

// A flow may have more edges than the broker covers in one answer.
func TestCreditsOfManyEdges(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	const edges = 1100
	subjects := make([]string, edges)
	for n := range subjects {
		subjects[n] = address("f", n).Credit
		e.publish(subjects[n], string(wire.Credit{Frame: uint64(n)}.Append(nil)))
	}
	found, err := stream.Credits(e.ctx, e.observer, e.addr.Stream, subjects...)
	if err != nil || len(found) != edges || found[subjects[edges-1]].Frame != edges-1 {
		t.Errorf("%d of %d credits, %v", len(found), edges, err)
	}
}
