package std

import (
	"context"
	"fmt"

	"github.com/dagyo/dagyo/executor"
)

// head writes the first n records, and then closes its input so that even an endless source ends.
// It reads one record at a time: no record after the first n counts as read.
func head() executor.Program {
	n := executor.Input("n", executor.JSON[int64]())
	in, out := executor.Input("in", value), executor.Output("out", value)
	return generic(func(ctx context.Context, job *executor.Job) error {
		left, err := single(ctx, job, "n", n)
		if err == nil && left < 0 {
			err = fmt.Errorf("n is %d; it must not be negative", left)
		}
		if err != nil || left == 0 {
			return err
		}
		for record, err := range in.All(ctx, job) {
			if err != nil {
				return err
			}
			if err := out.Send(ctx, job, record); err != nil {
				return err
			}
			if left--; left == 0 {
				return nil
			}
		}
		return nil
	}, n, in, out)
}

// count writes the number of records of its input.
func count() executor.Program {
	in := executor.Input("in", value)
	out := executor.Output("count", executor.JSON[int64]())
	return generic(func(ctx context.Context, job *executor.Job) error {
		var n int64
		err := batches(ctx, job, in, func(values [][]byte) error {
			n += int64(len(values))
			return nil
		})
		if err != nil {
			return err
		}
		return out.Send(ctx, job, n)
	}, in, out)
}

// counterBatch is how many numbers a counter writes at once.
const counterBatch = 128

// counter writes 0, 1, 2 and so on, as long as its output is read.
func counter() executor.Program {
	out := executor.Output("number", executor.JSON[int64]())
	return executor.Program{
		Ports: []executor.Port{out},
		Run: func(ctx context.Context, job *executor.Job) error {
			numbers := make([]int64, counterBatch)
			for next := int64(0); ; next += counterBatch {
				for i := range numbers {
					numbers[i] = next + int64(i)
				}
				if err := out.SendBatch(ctx, job, numbers); err != nil {
					return err
				}
			}
		},
	}
}
