package edge

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/nats-io/nats.go/jetstream"
)

func TestRecordsArriveInOrder(t *testing.T) {
	cases := map[string][]int{
		"none":    {},
		"empty":   {0},
		"empties": repeated(0, 1000),
		"small":   repeated(128, 5000),
		"mixed":   mixed(1, 2000, 3000),
		"large":   {0, 3 << 20, 1, 1 << 20, 70_000, 131_072, 0},
	}
	storages(t, func(t *testing.T, storage jetstream.StorageType) {
		for name, sizes := range cases {
			t.Run(name, func(t *testing.T) {
				e := setup(t, storage)
				w, r := e.writer(), e.reader()
				wait := start(t, func() error { return sendAll(e.ctx, w, sizes) })
				if err := expect(e.ctx, r, sizes, 0); err != nil {
					t.Fatal(err)
				}
				wait()
				if w.Count() != r.Count() {
					t.Errorf("sent %+v, received %+v", w.Count(), r.Count())
				}
				if _, err := r.Recv(e.ctx); err != io.EOF { //nolint:errorlint // contract
					t.Errorf("after the end: %v", err)
				}
				if err := r.Close(e.ctx); err != nil {
					t.Errorf("close after the end: %v", err)
				}
				if err := w.Send(e.ctx, nil); !errors.Is(err, stream.ErrClosed) {
					t.Errorf("send after close: %v", err)
				}
			})
		}
	})
}

// A single record is sent at once, without waiting for another one or the end.
func TestLoneRecordIsSentAtOnce(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	w, r := e.writer(), e.reader()
	for i := range 100 {
		if err := w.Send(e.ctx, record(i, 20)); err != nil {
			t.Fatal(err)
		}
		if err := expectOne(e.ctx, r, i, 20); err != nil {
			t.Fatal(err)
		}
	}
}

func TestReaderStartsAfterTheWriterHasEnded(t *testing.T) {
	e := setup(t, jetstream.FileStorage)
	sizes := repeated(100, 300)
	if err := sendAll(e.ctx, e.writer(), sizes); err != nil {
		t.Fatal(err)
	}
	if err := expect(e.ctx, e.reader(), sizes, 0); err != nil {
		t.Fatal(err)
	}
}

func TestReaderStartsFirst(t *testing.T) {
	e := setup(t, jetstream.FileStorage)
	sizes := repeated(100, 300)
	r := e.reader()
	wait := start(t, func() error { return expect(e.ctx, r, sizes, 0) })
	// Its stored credit shows that the reader is waiting.
	e.awaitStored(1)
	if err := sendAll(e.ctx, e.writer(), sizes); err != nil {
		t.Fatal(err)
	}
	wait()
}

// A missing reader, or one that has stopped reading, blocks the writer at its window.
func TestWindowHolds(t *testing.T) {
	storages(t, func(t *testing.T, storage jetstream.StorageType) {
		for _, size := range []int{10, 1000} {
			e := setup(t, storage)
			w := e.writer()
			n := fill(t, e, w, size)
			s := e.state()
			// The broker stores less than 150 bytes in addition to a frame.
			if most := uint64(testWindow + testFrames*150); s.Bytes > most || s.Msgs > testFrames {
				t.Errorf("%d bytes and %d frames stored, window %d and %d",
					s.Bytes, s.Msgs, testWindow, testFrames)
			}
			r := e.reader()
			sizes := repeated(size, n+500)
			wait := start(t, func() error {
				for i := n; i < len(sizes); i++ {
					if err := w.Send(e.ctx, record(i, size)); err != nil {
						return err
					}
				}
				return w.Close(e.ctx)
			})
			if err := expect(e.ctx, r, sizes, 0); err != nil {
				t.Fatal(err)
			}
			wait()
		}
	})
}

func TestWindowOfOneFrame(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	e.addr.Window, e.addr.Frames = stream.MinWindow, 1
	sizes := mixed(2, 200, 2000)
	w, r := e.writer(), e.reader()
	wait := start(t, func() error { return sendAll(e.ctx, w, sizes) })
	if err := expect(e.ctx, r, sizes, 0); err != nil {
		t.Fatal(err)
	}
	wait()
}

func TestReaderClosesBeforeTheWriterStarts(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	if err := e.reader().Close(e.ctx); err != nil {
		t.Fatal(err)
	}
	// The window is never full, so the writer must check for a credit at its start.
	e.addr.Window, e.addr.Frames, e.addr.Slots = 1<<40, 1<<20, 1<<20
	sendUntilClosed(t, e, e.writer())
}

func TestReaderClosesWhileTheWriterIsBlocked(t *testing.T) {
	e := setup(t, jetstream.FileStorage)
	w, r := e.writer(), e.reader()
	fill(t, e, w, 1000)
	if err := expectOne(e.ctx, r, 0, 1000); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(e.ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Recv(e.ctx); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
	sendUntilClosed(t, e, w)
}

func TestReaderClosesWhileTheWriterCloses(t *testing.T) {
	e := setup(t, jetstream.FileStorage)
	w, r := e.writer(), e.reader()
	fill(t, e, w, 1000)
	wait := start(t, func() error { return w.Close(e.ctx) })
	if err := r.Close(e.ctx); err != nil {
		t.Fatal(err)
	}
	wait()
}

func TestReaderClosesAfterTheEndWasSent(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	if err := sendAll(e.ctx, e.writer(), []int{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	if err := e.reader().Close(e.ctx); err != nil {
		t.Fatal(err)
	}
}

func sendUntilClosed(t *testing.T, e *bundle, w *stream.Writer) {
	t.Helper()
	for {
		err := w.Send(e.ctx, make([]byte, 100))
		if errors.Is(err, stream.ErrReaderClosed) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(e.ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestCancelUnblocks(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	w, r := e.writer(), e.reader()
	ctx, cancel := context.WithCancel(e.ctx)
	recv := start(t, func() error {
		if _, err := r.Recv(ctx); !errors.Is(err, context.Canceled) {
			return errors.Join(errors.New("recv"), err)
		}
		return nil
	})
	send := start(t, func() error {
		for { // the rest of a record that was sent in part; there is no reader
			if err := w.Send(ctx, make([]byte, 1<<20)); err != nil {
				if errors.Is(err, context.Canceled) {
					return nil
				}
				return err
			}
		}
	})
	cancel()
	recv()
	send()
	if _, err := r.Recv(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("recv again: %v", err)
	}
}

// A record that is cut short by its context ends the writer: it must not be mistaken for a complete one.
func TestCutRecordEndsTheWriter(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	w := e.writer()
	ctx, cancel := context.WithTimeout(e.ctx, 50*time.Millisecond)
	defer cancel()
	if err := w.Send(ctx, make([]byte, 10*testWindow)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if err := w.Send(e.ctx, nil); err == nil {
		t.Error("another record was accepted")
	}
	if err := w.Close(e.ctx); err == nil {
		t.Error("the edge was closed as if it were complete")
	}
}

func TestCloseEndsWithItsContext(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	w := e.writer()
	fill(t, e, w, 1000)
	ctx, cancel := context.WithTimeout(e.ctx, 20*time.Millisecond)
	defer cancel()
	if err := w.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
}

func TestManyEdgesAtOnce(t *testing.T) {
	e := setup(t, jetstream.FileStorage)
	const edges = 50
	var waits []func()
	for i := range edges {
		addr := address("many", i)
		sizes := mixed(uint64(i), 300, 2000)
		w, err := stream.NewWriter(e.out, addr)
		if err != nil {
			t.Fatal(err)
		}
		r, err := stream.NewReader(e.in, addr)
		if err != nil {
			t.Fatal(err)
		}
		waits = append(waits,
			start(t, func() error { return sendAll(e.ctx, w, sizes) }),
			start(t, func() error { return expect(e.ctx, r, sizes, 0) }))
	}
	for _, wait := range waits {
		wait()
	}
}

func TestLimitsAreChecked(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	addr := e.addr
	addr.Window = stream.MinWindow - 1
	if w, err := stream.NewWriter(e.out, addr); err == nil {
		w.Abort()
		t.Error("a writer with a tiny window")
	}
	if r, err := stream.NewReader(e.in, addr); err == nil {
		r.Abort()
		t.Error("a reader with a tiny window")
	}
	w, r := e.writer(), e.reader(stream.MaxRecord(1000))
	if err := w.Send(e.ctx, make([]byte, 1001)); err != nil {
		t.Fatal(err)
	}
	var p *stream.ProtocolError
	if _, err := r.Recv(e.ctx); !errors.As(err, &p) || p.Frame != 1 {
		t.Errorf("a record above the limit: %v", err)
	}
}
