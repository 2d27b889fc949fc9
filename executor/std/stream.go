package std

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/executor"
)

// value passes records of any typename on, octet by octet.
var value = executor.Any("T")

// generic makes a program whose ports use the type parameter T.
func generic(run func(context.Context, *executor.Job) error, ports ...executor.Port) executor.Program {
	return executor.Program{TypeParams: []string{"T"}, Ports: ports, Run: run}
}

// batches hands over all that an input holds, as many values at once as are there.
func batches[V any](ctx context.Context, job *executor.Job, in executor.In[V], do func([]V) error) error {
	for values, err := range in.Batches(ctx, job) {
		if len(values) > 0 {
			if err := do(values); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// single returns the one record of an input that is a setting.
func single[V any](ctx context.Context, job *executor.Job, name string, in executor.In[V]) (V, error) {
	v, err := in.Recv(ctx, job)
	if errors.Is(err, io.EOF) {
		return v, fmt.Errorf("the input %s has no record: give it exactly one", name)
	}
	if err != nil {
		return v, err
	}
	switch _, err := in.Recv(ctx, job); {
	case err == nil:
		return v, fmt.Errorf("the input %s has more than one record: give it exactly one", name)
	case !errors.Is(err, io.EOF):
		return v, err
	}
	return v, nil
}

// both runs two functions at the same time; the first error ends the context of the other one.
func both(ctx context.Context, a, b func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a(ctx) })
	g.Go(func() error { return b(ctx) })
	return g.Wait()
}

// A branch is one of two outputs: its reader may be gone while the other one's is not.
type branch[V any] struct {
	executor.Out[V]
	closed bool
}

// send writes values, unless nobody wants them.
func (b *branch[V]) send(ctx context.Context, job *executor.Job, values []V) error {
	if b.closed || len(values) == 0 {
		return nil
	}
	err := b.SendBatch(ctx, job, values)
	if errors.Is(err, executor.ErrReaderClosed) {
		b.closed = true
		return nil
	}
	return err
}
