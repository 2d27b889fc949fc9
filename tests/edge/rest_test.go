package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/nats-io/nats.go/jetstream"
)

// attach lets a reader wait for frames until it is attached, and returns the subject on which it receives them.
func (e *bundle) attach(r *stream.Reader) string {
	e.t.Helper()
	ctx, cancel := context.WithCancel(e.ctx)
	wait := start(e.t, func() error {
		if _, err := r.Recv(ctx); !errors.Is(err, context.Canceled) {
			return fmt.Errorf("recv: %w", err)
		}
		return nil
	})
	to := e.attached()
	cancel()
	wait()
	return to
}

// directly sends frames to an attached reader, and returns when the broker has them.
func (e *bundle) directly(to string, frames ...[]byte) {
	e.t.Helper()
	for _, frame := range frames {
		if err := e.observer.Conn().Publish(to, frame); err != nil {
			e.t.Fatal(err)
		}
	}
	if err := e.observer.Conn().FlushWithContext(e.ctx); err != nil {
		e.t.Fatal(err)
	}
}

// rests expects n more records, and no end.
func (e *bundle) rests(r *stream.Reader, from, n int) {
	e.t.Helper()
	for i := from; i < from+n; i++ {
		if err := expectOne(e.ctx, r, i, 20); err != nil {
			e.t.Fatal(err)
		}
	}
	if record, err := r.Recv(e.ctx); !errors.Is(err, stream.ErrCut) {
		e.t.Fatalf("then %d bytes, %v", len(record), err)
	}
}

// The writer of a failed job has exited without an end. Its remaining records are read without waiting.
func TestRestOfAGoneWriter(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(e *bundle, f *forger, r *stream.Reader)
		n       int
	}{
		"nothing":      {func(*bundle, *forger, *stream.Reader) {}, 0},
		"nothing read": {func(e *bundle, f *forger, _ *stream.Reader) { f.publish(f.frame(), f.frame()) }, 2},
		"direct": {func(e *bundle, f *forger, r *stream.Reader) {
			e.directly(e.attach(r), f.frame(), f.frame())
		}, 2},
		"direct and stored": {func(e *bundle, f *forger, r *stream.Reader) {
			to, a, b, c := e.attach(r), f.frame(), f.frame(), f.frame()
			e.directly(to, a, b)
			f.publish(a, b, c) // none of them is deleted
		}, 3},
		"direct after stored": {func(e *bundle, f *forger, r *stream.Reader) {
			to, a, b := e.attach(r), f.frame(), f.frame()
			f.publish(a)
			e.directly(to, b)
		}, 2},
		"behind a gap": {func(e *bundle, f *forger, r *stream.Reader) {
			to, a, _, c := e.attach(r), f.frame(), f.frame(), f.frame()
			e.directly(to, a, c, f.frame())
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			e := setup(t, jetstream.MemoryStorage)
			f, r := forge(e), e.reader()
			c.prepare(e, f, r)
			r.Rest()
			e.rests(r, 0, c.n)
		})
	}
}

// A frame that the reader received directly may also be stored, and is not deleted. The reader must not wait because of
// it.
func TestRestWithoutNewFrames(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	f, r := forge(e), e.reader()
	a := f.frame()
	to := e.attach(r)
	e.directly(to, a)
	if err := expectOne(e.ctx, r, 0, 20); err != nil {
		t.Fatal(err)
	}
	f.publish(a)
	r.Rest()
	e.rests(r, 1, 0)
}

func TestRestHasAnEnd(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	f, r := forge(e), e.reader()
	f.publish(f.frame(), f.end())
	r.Rest()
	if err := expect(e.ctx, r, repeated(20, 1), 0); err != nil {
		t.Fatal(err)
	}
	r.Rest()
	if _, err := r.Recv(e.ctx); err != io.EOF { //nolint:errorlint // the contract is ==
		t.Fatal(err)
	}
}

// A writer that continues after its flow has ended delays its reader by at most a window.
func TestRestOfAContinuingWriter(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	w, r := e.writer(), e.reader()
	ctx, cancel := context.WithCancel(e.ctx)
	wait := start(t, func() error {
		for {
			if err := w.Send(ctx, record(0, 1000)); err != nil {
				if ctx.Err() != nil {
					err = nil
				}
				return err
			}
		}
	})
	for range 1000 {
		if _, err := r.Recv(e.ctx); err != nil {
			t.Fatal(err)
		}
	}
	r.Rest()
	before := r.Count().Bytes
	err := error(nil)
	for err == nil {
		_, err = r.Recv(e.ctx)
	}
	// The abandoned part is not consumed: the window, and what was in flight in addition.
	if more := r.Count().Bytes - before; !errors.Is(err, stream.ErrCut) || more > 2*testWindow {
		t.Errorf("%d more bytes, then %v", more, err)
	}
	cancel()
	wait()
}

func TestRestAcrossAReconnect(t *testing.T) {
	e := setup(t, jetstream.MemoryStorage)
	f, r := forge(e), e.reader()
	e.attach(r)
	f.publish(f.frame(), f.frame())
	r.Rest()
	e.kick(e.in)
	e.rests(r, 0, 2)
}
