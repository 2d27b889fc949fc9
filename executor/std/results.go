package std

import (
	"context"

	"github.com/dagyo/dagyo/executor"
)

// A valueOrError is a record of Result<T>.
type valueOrError = executor.Result[[]byte]

// results is an input of Result<T>.
func results() executor.In[valueOrError] { return executor.Input("in", executor.ResultOf(value)) }

// assert writes the values; at the first error, the job panics with it.
func assert() executor.Program {
	in, out := results(), executor.Output("out", value)
	return generic(func(ctx context.Context, job *executor.Job) error {
		var n int64
		return batches(ctx, job, in, func(rs []valueOrError) error {
			values, errs := valuesAndErrors(rs)
			if len(errs) == 0 {
				n += int64(len(rs))
				return out.SendBatch(ctx, job, values)
			}
			good := firstError(rs)
			if err := out.SendBatch(ctx, job, values[:good]); err != nil {
				return err
			}
			return &executor.PortError{Port: "in", Record: n + int64(good), Err: rs[good].Err}
		})
	}, in, out)
}

// ignoreErrors writes the values and drops the errors.
func ignoreErrors() executor.Program {
	in, out := results(), executor.Output("out", value)
	return generic(func(ctx context.Context, job *executor.Job) error {
		return batches(ctx, job, in, func(rs []valueOrError) error {
			values, _ := valuesAndErrors(rs)
			return out.SendBatch(ctx, job, values)
		})
	}, in, out)
}

// loggedErrors is the maximum number of errors that a job of log_errors logs.
const loggedErrors = 100

// logErrors writes the values, and logs the errors: the first ones one by one, and then their total
// number.
func logErrors() executor.Program {
	in, out := results(), executor.Output("out", value)
	return generic(func(ctx context.Context, job *executor.Job) error {
		n := 0
		err := batches(ctx, job, in, func(rs []valueOrError) error {
			values, errs := valuesAndErrors(rs)
			for _, e := range errs[:min(len(errs), max(loggedErrors-n, 0))] {
				job.Log().Warn("received an error record", "error", e)
			}
			n += len(errs)
			return out.SendBatch(ctx, job, values)
		})
		if n > loggedErrors {
			job.Log().Warn("received more error records than were logged", "errors", n, "logged", loggedErrors)
		}
		return err
	}, in, out)
}

// splitErrors writes values and error texts to separate outputs.
func splitErrors() executor.Program {
	in := results()
	out, errs := executor.Output("out", value), executor.Output("errors", executor.String)
	return generic(func(ctx context.Context, job *executor.Job) error {
		good, bad := &branch[[]byte]{Out: out}, &branch[string]{Out: errs}
		return batches(ctx, job, in, func(rs []valueOrError) error {
			values, texts := valuesAndErrors(rs)
			return sendBoth(ctx, job, good, values, bad, texts)
		})
	}, in, out, errs)
}

// valuesAndErrors returns the values and the texts of the errors, each in order.
func valuesAndErrors(rs []valueOrError) (values [][]byte, errs []string) {
	values = make([][]byte, 0, len(rs))
	for _, r := range rs {
		if r.Err != nil {
			errs = append(errs, r.Err.Error())
			continue
		}
		values = append(values, r.Value)
	}
	return values, errs
}

// firstError returns the index of the first error.
func firstError(rs []valueOrError) int {
	for i, r := range rs {
		if r.Err != nil {
			return i
		}
	}
	return len(rs)
}
