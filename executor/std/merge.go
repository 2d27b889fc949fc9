package std

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/pkg/document"
)

// merge writes the records of both inputs as they arrive. The order within each input is kept.
func merge() executor.Program {
	a, b := executor.Input("a", value), executor.Input("b", value)
	out := executor.Output("out", value)
	return generic(func(ctx context.Context, job *executor.Job) error {
		var writing sync.Mutex
		pass := func(in executor.In[[]byte]) func(context.Context) error {
			return func(ctx context.Context) error {
				return batches(ctx, job, in, func(values [][]byte) error {
					writing.Lock()
					defer writing.Unlock()
					return out.SendBatch(ctx, job, values)
				})
			}
		}
		return both(ctx, pass(a), pass(b))
	}, a, b, out)
}

// concat writes all of a and then all of b; until a has ended, b waits within its window.
func concat() executor.Program {
	a, b := executor.Input("a", value), executor.Input("b", value)
	out := executor.Output("out", value)
	return generic(func(ctx context.Context, job *executor.Job) error {
		send := func(values [][]byte) error { return out.SendBatch(ctx, job, values) }
		if err := batches(ctx, job, a, send); err != nil {
			return err
		}
		return batches(ctx, job, b, send)
	}, a, b, out)
}

// zip writes a list of two for each record of a and the record of b at the same position.
func zip() executor.Program {
	a, b := executor.Input("a", value), executor.Input("b", value)
	pair := executor.Output("pair", executor.ListOf(value))
	return generic(func(ctx context.Context, job *executor.Job) error {
		for n := 0; ; n++ {
			left, right, err := pairOf(ctx, job, a, b, n)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err == nil {
				err = pair.Send(ctx, job, [][]byte{left, right})
			}
			if err != nil {
				return err
			}
		}
	}, a, b, pair)
}

// pairOf reads one record of each input; it returns io.EOF when both have ended.
func pairOf(
	ctx context.Context, job *executor.Job, a, b executor.In[[]byte], n int,
) (left, right []byte, err error) {
	left, errA := a.Recv(ctx, job)
	if errA != nil && !errors.Is(errA, io.EOF) {
		return nil, nil, errA
	}
	right, errB := b.Recv(ctx, job)
	switch {
	case errB != nil && !errors.Is(errB, io.EOF):
		return nil, nil, errB
	case errA != nil && errB != nil:
		return nil, nil, io.EOF
	case errA != nil:
		return nil, nil, fmt.Errorf("input a ended after %s, but b has more", document.Count(n, "record"))
	case errB != nil:
		return nil, nil, fmt.Errorf("input b ended after %s, but a has more", document.Count(n, "record"))
	}
	return left, right, nil
}

// flatten writes the elements of each list.
func flatten() executor.Program {
	in := executor.Input("in", executor.ListOf(value))
	out := executor.Output("out", value)
	return generic(func(ctx context.Context, job *executor.Job) error {
		return batches(ctx, job, in, func(lists [][][]byte) error {
			for _, elements := range lists {
				if err := out.SendBatch(ctx, job, elements); err != nil {
					return err
				}
			}
			return nil
		})
	}, in, out)
}
