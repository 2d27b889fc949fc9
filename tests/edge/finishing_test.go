package edge

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/stream"
)

// A context that ends with ErrFinishing in the middle of a record lets that be sent whole, and the edge be
// closed in order; any other ends the edge.
func TestRecordsAreFinished(t *testing.T) {
	for _, cause := range []error{stream.ErrFinishing, context.Canceled} {
		t.Run(cause.Error(), func(t *testing.T) {
			e := setup(t, jetstream.MemoryStorage)
			w, r := e.writer(), e.reader()
			const size = 4 * testWindow // more than can be taken before somebody reads
			ctx, cancel := context.WithCancelCause(e.ctx)
			sent := start(t, func() error {
				if err := w.Send(ctx, record(0, size)); !errors.Is(err, context.Canceled) {
					return errors.Join(errors.New("sent"), err)
				}
				return nil
			})
			fillStream(t, e)
			cancel(cause)
			if cause != stream.ErrFinishing {
				sent()
				if err := w.Close(e.ctx); err == nil {
					t.Error("an edge with half a record was closed in order")
				}
				return
			}
			read := start(t, func() error { return expect(e.ctx, r, []int{size}, 0) })
			sent()
			if err := w.Close(e.ctx); err != nil {
				t.Error(err)
			}
			read()
		})
	}
}

// fillStream waits until the writer has stored a part of what it has.
func fillStream(t *testing.T, e *bundle) {
	t.Helper()
	for e.state().Msgs == 0 {
		if e.ctx.Err() != nil {
			t.Fatal("nothing is stored")
		}
	}
}
