package edge

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/nats-io/nats.go/jetstream"
)

func TestBrokerRestart(t *testing.T) {
	e := setup(t, jetstream.FileStorage)
	sizes := mixed(3, 6000, 400)
	w, r := e.writer(), e.reader()
	wait := start(t, func() error { return sendAll(e.ctx, w, sizes) })
	for i, size := range sizes {
		if i%2000 == 1000 {
			e.stop()
			e.start()
		}
		if err := expectOne(e.ctx, r, i, size); err != nil {
			t.Fatal(err)
		}
	}
	if err := expect(e.ctx, r, sizes, len(sizes)); err != nil {
		t.Fatal(err)
	}
	wait()
}

// A stream in memory does not outlive its broker: both ends report that.
func TestBrokerRestartLosesMemory(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	w, r := e.writer(), e.reader()
	fill(t, e, w, 1000)
	if err := expectOne(e.ctx, r, 0, 1000); err != nil {
		t.Fatal(err)
	}
	e.stop()
	e.start()
	expectGone(t, e, w, r)
}

func TestStreamDeleted(t *testing.T) {
	storages(t, func(t *testing.T, storage jetstream.StorageType) {
		t.Run("blocked", func(t *testing.T) {
			e := setup(t, storage)
			w, r := e.writer(), e.reader()
			fill(t, e, w, 1000)
			e.deleteStream()
			expectGone(t, e, w, r)
		})
		t.Run("idle", func(t *testing.T) {
			e := setup(t, storage)
			w, r := e.writer(), e.reader()
			if err := w.Send(e.ctx, record(0, 8)); err != nil {
				t.Fatal(err)
			}
			if err := expectOne(e.ctx, r, 0, 8); err != nil {
				t.Fatal(err)
			}
			gone := start(t, func() error {
				if _, err := r.Recv(e.ctx); !errors.Is(err, stream.ErrGone) {
					return errors.Join(errors.New("recv"), err)
				}
				return nil
			})
			e.deleteStream()
			gone()
			if err := w.Close(e.ctx); !errors.Is(err, stream.ErrGone) {
				t.Fatal(err)
			}
		})
	})
}

func expectGone(t *testing.T, e *bundle, w *stream.Writer, r *stream.Reader) {
	t.Helper()
	var err error
	for err == nil {
		_, err = r.Recv(e.ctx)
	}
	if !errors.Is(err, stream.ErrGone) {
		t.Errorf("recv: %v", err)
	}
	for err = nil; err == nil; {
		err = w.Send(e.ctx, make([]byte, 1000))
	}
	if !errors.Is(err, stream.ErrGone) {
		t.Errorf("send: %v", err)
	}
}

func TestKickedConnections(t *testing.T) {
	storages(t, func(t *testing.T, storage jetstream.StorageType) {
		e := setup(t, storage)
		sizes := mixed(4, 6000, 400)
		// Messages are only lost with a connection, so the loss is detected without a timeout.
		w, r := e.writer(stream.AckTimeout(limit)), e.reader()
		wait := start(t, func() error { return sendAll(e.ctx, w, sizes) })
		for i, size := range sizes {
			switch i % 500 {
			case 100:
				e.kick(e.out)
			case 300:
				e.kick(e.in)
			}
			if err := expectOne(e.ctx, r, i, size); err != nil {
				t.Fatal(err)
			}
		}
		if err := expect(e.ctx, r, sizes, len(sizes)); err != nil {
			t.Fatal(err)
		}
		wait()
	})
}

// Credits are lost: the writer is disconnected while the reader consumes.
func TestCreditGivenWhileTheWriterIsDisconnected(t *testing.T) {
	e := setup(t, jetstream.FileStorage)
	w, r := e.writer(), e.reader()
	n := fill(t, e, w, 1000)
	e.kick(e.out)
	for i := range n / 2 {
		if err := expectOne(e.ctx, r, i, 1000); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Send(e.ctx, record(n, 1000)); err != nil {
		t.Fatal(err)
	}
}

// Closing the connection ends both ends.
func TestConnectionClosed(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	w, r := e.writer(), e.reader()
	fill(t, e, w, 1000)
	e.out.Conn().Close()
	e.in.Conn().Close()
	for err := error(nil); err == nil; {
		err = w.Send(e.ctx, nil)
	}
	for err := error(nil); err == nil; {
		_, err = r.Recv(e.ctx)
	}
	if e.ctx.Err() != nil {
		t.Fatal("it ended only at the test's limit")
	}
}

// A forger writes forged frames.
type forger struct {
	stored uint64 // frames that were stored
	e      *bundle
	enc    *wire.Encoder
	number int
}

func forge(e *bundle) *forger { return &forger{e: e, enc: wire.NewEncoder(1<<10, 1<<11)} }

// frame returns a frame with one record.
func (f *forger) frame() []byte {
	f.enc.Append(record(f.number, 20))
	f.number++
	return f.enc.Take(nil)
}

func (f *forger) end() []byte {
	b, err := f.enc.Finish()
	if err != nil {
		f.e.t.Fatal(err)
	}
	return b
}

func (f *forger) publish(frames ...[]byte) {
	f.e.t.Helper()
	for _, b := range frames {
		f.stored++
		f.e.publish(f.e.addr.Slot(f.stored), string(b))
	}
}

func TestRepeatsAreDropped(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	f := forge(e)
	a, b, c, end := f.frame(), f.frame(), f.frame(), f.end()
	f.publish(a, b) // some are also stored
	wait := start(t, func() error { return expect(e.ctx, e.reader(), repeated(20, 3), 0) })
	to := e.attached()
	for _, frame := range [][]byte{a, a, b, a, b, c, c, end, end} {
		if err := e.observer.Conn().Publish(to, frame); err != nil {
			t.Fatal(err)
		}
	}
	wait()
}

func TestForgedFrames(t *testing.T) {
	last := func(b []byte, change func(trailer []byte)) []byte {
		change(b[len(b)-wire.TrailerSize:])
		return b
	}
	cases := map[string]struct {
		frames func(f *forger) [][]byte
		good   int // records before the error
		frame  uint64
	}{
		"gap": {func(f *forger) [][]byte {
			a, _, c := f.frame(), f.frame(), f.frame()
			return [][]byte{a, c}
		}, 1, 3},
		"first missing": {func(f *forger) [][]byte {
			f.frame()
			return [][]byte{f.frame()}
		}, 0, 2},
		"records": {func(f *forger) [][]byte {
			return [][]byte{f.frame(), last(f.end(), func(b []byte) {
				binary.BigEndian.PutUint64(b, 2)
			})}
		}, 1, 2},
		"octets": {func(f *forger) [][]byte {
			return [][]byte{f.frame(), last(f.end(), func(b []byte) {
				binary.BigEndian.PutUint64(b[8:], 19)
			})}
		}, 1, 2},
		"checksum": {func(f *forger) [][]byte {
			return [][]byte{f.frame(), last(f.end(), func(b []byte) { b[19] ^= 1 })}
		}, 1, 2},
		"octet": {func(f *forger) [][]byte {
			a := f.frame()
			return [][]byte{f.frame()[:5], a}
		}, 0, 0},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			e := setup(t, jetstream.MemoryStorage)
			f := forge(e)
			f.publish(c.frames(f)...)
			r := e.reader()
			for i := range c.good {
				if err := expectOne(e.ctx, r, i, 20); err != nil {
					t.Fatal(err)
				}
			}
			_, err := r.Recv(e.ctx)
			var p *stream.ProtocolError
			if !errors.As(err, &p) || p.Frame != c.frame || p.Edge != e.addr.Subject {
				t.Fatal(err)
			}
			t.Log(err)
			if _, again := r.Recv(e.ctx); !errors.Is(again, err) {
				t.Errorf("then %v", again)
			}
		})
	}
}

// attached waits for the reader's credit and returns the subject on which it receives frames directly.
func (e *bundle) attached() string {
	e.t.Helper()
	credit := e.get(e.addr.Credit)
	for ; credit == "404"; credit = e.get(e.addr.Credit) {
		runtime.Gosched()
	}
	c, err := wire.ParseCredit([]byte(credit))
	if err != nil {
		e.t.Fatal(err)
	}
	return fmt.Sprintf("%s.%d", e.addr.Direct, c.Attach)
}

// awaitStored waits until the flow's stream holds n messages.
func (e *bundle) awaitStored(n uint64) {
	e.t.Helper()
	for e.state().Msgs < n {
		if e.ctx.Err() != nil {
			e.t.Fatal("the stream did not fill")
		}
	}
}

// A frame that is lost on the direct route is a gap, and is found by attaching again.
func TestGapIsFilled(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	f := forge(e)
	a, b, c, end := f.frame(), f.frame(), f.frame(), f.end()
	r := e.reader()
	wait := start(t, func() error { return expect(e.ctx, r, repeated(20, 3), 0) })
	to := e.attached()
	send := func(frame []byte) {
		t.Helper()
		if err := e.observer.Conn().Publish(to, frame); err != nil {
			t.Fatal(err)
		}
	}
	send(a)
	for r.Count().Records < 1 && e.ctx.Err() == nil {
		runtime.Gosched()
	}
	f.stored = 1
	f.publish(b, c, end) // where it is finally found
	send(c)
	wait()
}

// A missing frame that the writer reported as stored is a loss.
func TestStoredFrameIsLost(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	r := e.reader()
	wait := start(t, func() error {
		_, err := r.Recv(e.ctx)
		var p *stream.ProtocolError
		if !errors.As(err, &p) || p.Frame != 1 {
			return fmt.Errorf("recv: %w", err)
		}
		return nil
	})
	first := e.attached()
	hint := func(to string) {
		t.Helper()
		if err := e.observer.Conn().Publish(to, wire.Hint(3)); err != nil {
			t.Fatal(err)
		}
	}
	hint(first)
	second := first
	for second == first && e.ctx.Err() == nil {
		second = e.attached()
	}
	hint(second)
	wait()
}

// Frames that a failed reader has received but not consumed are delivered to the next reader.
func TestFramesOfADeadReaderAreRedelivered(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	f := forge(e)
	f.publish(f.frame(), f.frame(), f.end())
	dead := e.reader()
	if err := expectOne(e.ctx, dead, 0, 20); err != nil {
		t.Fatal(err)
	}
	dead.Abort()
	if err := expect(e.ctx, e.reader(), repeated(20, 2), 0); err != nil {
		t.Fatal(err)
	}
}

func TestForgedCredits(t *testing.T) {
	cases := map[string]string{
		"beyond":    string(wire.Credit{Frame: 9}.Append(nil)),
		"malformed": "hello",
	}
	for name, credit := range cases {
		t.Run(name, func(t *testing.T) {
			e := setup(t, jetstream.MemoryStorage)
			e.publish(e.addr.Credit, credit)
			w := e.writer()
			var err error
			for err == nil {
				err = w.Send(e.ctx, nil)
			}
			var p *stream.ProtocolError
			if !errors.As(err, &p) {
				t.Fatal(err)
			}
		})
	}
}

// A second writer of an edge causes a protocol error of the first one.
func TestSecondWriterIsAProtocolError(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	e.publish(e.addr.Slot(1), "x")
	w := e.writer()
	if err := w.Send(e.ctx, nil); err != nil {
		t.Fatal(err)
	}
	var p *stream.ProtocolError
	if err := w.Close(e.ctx); !errors.As(err, &p) || p.Frame != 1 {
		t.Fatal(err)
	}
}

func TestRecvContinuesAfterItsContextEnds(t *testing.T) {
	e := setup(t, jetstream.FileStorage)
	w, r := e.writer(), e.reader()
	for i := range 50 {
		ctx, cancel := context.WithCancel(e.ctx)
		cancel()
		if _, err := r.Recv(ctx); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if err := w.Send(e.ctx, record(i, 30)); err != nil {
			t.Fatal(err)
		}
		if err := expectOne(e.ctx, r, i, 30); err != nil {
			t.Fatal(err)
		}
	}
}
