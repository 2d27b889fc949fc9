package edge

import (
	"context"
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
		found, err := stream.Credits(e.ctx, e.observer, e.addr.Stream, e.address())
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if begun, err = stream.Begun(e.ctx, e.observer, e.address()); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		all, err := stream.Backlogs(e.ctx, e.observer, "0", "f", []contract.Address{e.address()}, []uint64{found[e.addr.Credit].Frame})
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		return len(found), begun, all[0].Bytes
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
	found, err := stream.Credits(e.ctx, e.observer, e.addr.Stream, e.address())
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
	if _, err := stream.Credits(e.ctx, e.observer, e.addr.Stream, e.address()); !errors.Is(err, stream.ErrGone) {
		t.Errorf("credits of a deleted stream: %v", err)
	}
	if _, err := stream.Begun(e.ctx, e.observer, e.address()); !errors.Is(err, stream.ErrGone) {
		t.Errorf("frames of a deleted stream: %v", err)
	}
}

// A slot may still hold a frame of an earlier round, which was consumed. It is not unread.
func TestBacklogOfALaterRound(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	f := forge(e)
	f.publish(f.frame(), f.frame())
	for consumed, want := range map[uint64]int64{0: 2, 1: 1, 2: 0, testFrames: 0, testFrames + 1: 0} {
		all, err := stream.Backlogs(e.ctx, e.observer, "0", "f", []contract.Address{e.addr, address("f", 1)}, []uint64{consumed, 0})
		if err != nil || all[0].Frames != want || all[1].Frames != 0 {
			t.Errorf("behind frame %d: %+v is unread, %v", consumed, all, err)
		}
	}
}

// A writer that waits for its reader has filled the window, and one that does not has not.
func TestFullWindow(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	const size = testWindow / 20
	w := e.writer(stream.FrameTarget(size))
	measure := func() (b stream.Backlog, full bool) {
		t.Helper()
		all, err := stream.Backlogs(e.ctx, e.observer, "0", "f", []contract.Address{e.address()}, []uint64{0})
		if err != nil {
			t.Fatal(err)
		}
		return all[0], all[0].Full(e.addr.Window, e.addr.Frames)
	}
	for range 5 {
		if err := w.Send(e.ctx, make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	e.awaitStored(5)
	if b, full := measure(); b.Frames != 5 || full || b.Fill(e.addr.Window, e.addr.Frames) > 30 {
		t.Errorf("%+v, full %v: %d %%", b, full, b.Fill(e.addr.Window, e.addr.Frames))
	}
	sending, stop := context.WithCancel(e.ctx)
	sent := make(chan error, 1)
	go func() {
		for {
			if err := w.Send(sending, make([]byte, size)); err != nil {
				sent <- err
				return
			}
		}
	}()
	b, full := measure()
	for ; !full; b, full = measure() { // until the context of the test ends
	}
	if fill := b.Fill(e.addr.Window, e.addr.Frames); fill < 80 {
		t.Errorf("%+v is full at %d %%", b, fill)
	}
	stop()
	if err := <-sent; !errors.Is(err, context.Canceled) {
		t.Errorf("the writer: %v", err)
	}
}

// A flow may have more edges than the broker answers one request for.
func TestCreditsOfManyEdges(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	const edges = 1100
	all := make([]contract.Address, edges)
	for n := range all {
		all[n] = address("f", n)
		e.publish(all[n].Credit, string(wire.Credit{Frame: uint64(n)}.Append(nil)))
	}
	found, err := stream.Credits(e.ctx, e.observer, e.addr.Stream, all...)
	if err != nil || len(found) != edges || found[all[edges-1].Credit].Frame != edges-1 {
		t.Errorf("%d of %d credits, %v", len(found), edges, err)
	}
}
