package client

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
)

// Write sends the records that next returns to a flow's input, until next returns io.EOF. It waits while
// the flow is slower, and returns nil when the flow closes the input. stream.ErrTaken means that another client feeds it,
// and ErrNotFed that the context ended before that was known.
func (c *Client) Write(
	ctx context.Context, a contract.Address, next func() ([]byte, error),
) (contract.Count, error) {
	a, err := c.withKey(ctx, a)
	if err != nil {
		return contract.Count{}, err
	}
	w, err := stream.NewWriter(c.link.JS, a, stream.WriteAs(c.user), stream.Claims())
	if err != nil {
		return contract.Count{}, err
	}
	defer w.Abort()
	err = writeAll(ctx, w, next)
	if errors.Is(err, stream.ErrReaderClosed) || errors.Is(err, stream.ErrGone) {
		err = nil
	}
	if err != nil && ctx.Err() != nil && !w.Claimed() {
		return contract.Count{}, fmt.Errorf("%w: %w", ErrNotFed, context.Cause(ctx))
	}
	return w.Count(), err
}

func writeAll(ctx context.Context, w *stream.Writer, next func() ([]byte, error)) error {
	for {
		record, err := next()
		if errors.Is(err, io.EOF) {
			return w.Close(ctx)
		}
		if err != nil {
			return err
		}
		if err := w.Send(ctx, record); err != nil {
			return err
		}
	}
}
