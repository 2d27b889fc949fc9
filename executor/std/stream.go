package std

import (
	"context"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/executor"
)

// value passes records of any typename through unchanged.
var value = executor.Any("T")

// generic makes a program whose ports use the type parameter T.
func generic(run func(context.Context, *executor.Job) error, ports ...executor.Port) executor.Program {
	return executor.Program{TypeParams: []string{"T"}, Ports: ports, Run: run}
}

// batches passes on all values of an input, as many at once as are available.
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

// selected writes the records that keep chooses. keep is called with the number of each record, in order; its error is
// about that record, and the records before it are written.
func selected(
	ctx context.Context, job *executor.Job, in executor.In[[]byte], out executor.Out[[]byte],
	keep func(n int64, record []byte) (bool, error),
) error {
	var n int64
	return batches(ctx, job, in, func(records [][]byte) error {
		kept := make([][]byte, 0, len(records))
		var failed error
		for _, record := range records {
			chosen, err := keep(n, record)
			if err != nil {
				failed = &executor.PortError{Port: "in", Record: n, Err: err}
				break
			}
			if chosen {
				kept = append(kept, record)
			}
			n++
		}
		if err := out.SendBatch(ctx, job, kept); err != nil {
			return err
		}
		return failed
	})
}

// single returns the only record of an input that is a setting.
func single[V any](ctx context.Context, job *executor.Job, name string, in executor.In[V]) (V, error) {
	v, err := in.Recv(ctx, job)
	if errors.Is(err, io.EOF) {
		return v, fmt.Errorf("input %s has no record; it needs exactly one", name)
	}
	if err != nil {
		return v, err
	}
	switch _, err := in.Recv(ctx, job); {
	case err == nil:
		return v, fmt.Errorf("input %s has more than one record; it needs exactly one", name)
	case !errors.Is(err, io.EOF):
		return v, err
	}
	return v, nil
}

// both runs two functions concurrently; the first error cancels the other's context.
func both(ctx context.Context, a, b func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a(ctx) })
	g.Go(func() error { return b(ctx) })
	return g.Wait()
}

// A branch is one of two outputs: its reader may be gone while the other's is not.
type branch[V any] struct {
	executor.Out[V]
	closed bool
}

// send writes values, unless the output has no reader any more.
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

const (
	// outboxRecords and outboxOctets are when an outbox sends what it holds.
	outboxRecords = 256
	outboxOctets  = 256 << 10
)

// An outbox collects the records of an output, to write many at once.
type outbox struct {
	out     executor.Out[[]byte]
	records [][]byte
	octets  int
}

// add adds a record, which must not change until it is sent.
func (o *outbox) add(ctx context.Context, job *executor.Job, record []byte) error {
	o.records = append(o.records, record)
	if o.octets += len(record); len(o.records) < outboxRecords && o.octets < outboxOctets {
		return nil
	}
	return o.flush(ctx, job)
}

// flush writes the records that have been added.
func (o *outbox) flush(ctx context.Context, job *executor.Job) error {
	err := o.out.SendBatch(ctx, job, o.records)
	clear(o.records)
	o.records, o.octets = o.records[:0], 0
	return err
}
