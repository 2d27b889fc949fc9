package std

import (
	"context"

	"github.com/dagyo/dagyo/executor"
)

// voidSink reads and discards all records.
func voidSink() executor.Program {
	in := executor.Input("in", value)
	return generic(func(ctx context.Context, job *executor.Job) error {
		return batches(ctx, job, in, func([][]byte) error { return nil })
	}, in)
}
