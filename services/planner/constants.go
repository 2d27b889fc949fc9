package planner

import (
	"context"
	"fmt"

	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/pkg/stream"
)

// writeConstants fills the edges that constants feed. The same constant always gives the same frames,
// so writing them twice does no harm: the reader drops the repeats.
func (w *wiring) writeConstants(ctx context.Context, id string, f flow.Flow) error {
	for n, e := range f.Edges {
		if e.Const == nil {
			continue
		}
		frames, err := stream.Frames(e.Const.Values)
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
