package planner

import (
	"context"
	"fmt"

	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/pkg/wire"
)

// writeConstants fills the edges that constants feed. The same constant always gives the same frames,
// so writing them twice does no harm: the reader drops the repeats.
func (w *wiring) writeConstants(ctx context.Context, id string, f flow.Flow) error {
	for n, e := range f.Edges {
		if e.Const == nil {
			continue
		}
		frames, err := constantFrames(e.Const.Values)
		if err != nil {
			return fmt.Errorf("encode constant %s: %w", e.Source(), err)
		}
		subject := w.config.Limits.address(id, n, e.Type).Subject
		for _, frame := range frames {
			if _, err := w.link.JS.Publish(ctx, subject, frame); err != nil {
				return brokerError("store the constant "+e.Source(), err)
			}
		}
	}
	return nil
}

// constantFrames packs records into frames whose borders depend on nothing but the records.
func constantFrames(values []flow.Value) ([][]byte, error) {
	enc := wire.NewEncoder(stream.DefaultFrameTarget, 2*stream.DefaultFrameTarget)
	var frames [][]byte
	for _, v := range values {
		for rest, done := []byte(v), false; !done; {
			if enc.Size() >= stream.DefaultFrameTarget {
				frames = append(frames, enc.Take(nil))
			}
			var n int
			n, done = enc.Append(rest)
			if rest = rest[n:]; !done {
				frames = append(frames, enc.Take(nil))
			}
		}
	}
	last, err := enc.Finish()
	return append(frames, last), err
}
