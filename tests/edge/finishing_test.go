package edge

import (
	"context"
	"errors"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/stream"
)

// If a context ends with ErrFinishing in the middle of a record, the record is completed and the edge can be closed in
// order. Any other cause ends the edge.
func TestRecordsAreFinished(t *testing.T) {
	for _, cause := range []error{stream.ErrFinishing, context.Canceled} {
		t.Run(cause.Error(), func(t *testing.T) {
			e := setup(t, jetstream.MemoryStorage)
			w, r := e.writer(), e.reader()
			const size = 4 * testWindow // more than can be sent without a reader
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
					t.Error("an edge with an incomplete record was closed in order")
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

// fillStream waits until the writer has stored some of its frames.
func fillStream(t *testing.T, e *bundle) {
	t.Helper()
	for e.state().Msgs == 0 {
		if e.ctx.Err() != nil {
			t.Fatal("nothing was stored")
		}
	}
}
