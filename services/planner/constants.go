package planner

import (
	"context"
	"fmt"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/pkg/stream"
)

// writeConstants fills the edges with constants. The same constant always produces the same frames, so it
// may be called again for the same plan.
func (w *wiring) writeConstants(ctx context.Context, p *contract.FlowPlanned, f flow.Flow) error {
	salt := p.Salt()
	for n, e := range f.Edges {
		if e.Const == nil {
			continue
		}
		frames, err := stream.Frames(e.Const.Values)
		if err != nil {
			return fmt.Errorf("encode constant %s: %w", e.Source(), err)
		}
		to, err := w.secret.Address(contract.Address{
			Stream: p.Stream, Subject: p.Edges[n].Subject, Slots: w.config.Limits.Frames, Salt: salt,
		})
		if err != nil {
			return err
		}
		if err := stream.Store(ctx, w.link.JS, to, frames); err != nil {
			return brokerError("store the constant "+e.Source(), err)
		}
	}
	return nil
}
