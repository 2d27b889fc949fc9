package std

import (
	"context"

	"github.com/dagyo/dagyo/executor"
)

// tee copies its input to two outputs. It writes both at the same time, so a slow reader does not delay
// records that were already read; but while tee waits for one output, it reads no more input: it holds
// one batch.
func tee() executor.Program {
	in := executor.Input("in", value)
	a, b := executor.Output("a", value), executor.Output("b", value)
	return generic(func(ctx context.Context, job *executor.Job) error {
		left, right := &branch[[]byte]{Out: a}, &branch[[]byte]{Out: b}
		return batches(ctx, job, in, func(values [][]byte) error {
			return sendBoth(ctx, job, left, values, right, values)
		})
	}, in, a, b)
}

// sendBoth writes to two branches at the same time. ErrReaderClosed means that neither has a reader any more.
func sendBoth[A, B any](
	ctx context.Context, job *executor.Job, a *branch[A], as []A, b *branch[B], bs []B,
) error {
	err := both(ctx,
		func(ctx context.Context) error { return a.send(ctx, job, as) },
		func(ctx context.Context) error { return b.send(ctx, job, bs) })
	if err == nil && a.closed && b.closed {
		err = executor.ErrReaderClosed
	}
	return err
}
