package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
)

// maxBatch is the maximum number of values that Batches yields at once.
const maxBatch = 1024

// A Port is an input or output of a program: an [In] or an [Out].
type Port interface {
	portName() string
	typename() string
	isInput() bool
}

// In is an input port for values of type T.
type In[T any] struct {
	name   string
	codec  Codec[T]
	stable StableDecoder[T] // nil if the codec is not one
}

// Out is an output port for values of type T.
type Out[T any] struct {
	name   string
	codec  Codec[T]
	viewer Viewer[T] // nil if the codec is not one
}

// Input declares an input port. The name and the codec's typename must match the progdef.
func Input[T any](name string, c Codec[T]) In[T] {
	stable, _ := c.(StableDecoder[T])
	return In[T]{name, c, stable}
}

// Output declares an output port. The name and the codec's typename must match the progdef.
func Output[T any](name string, c Codec[T]) Out[T] {
	viewer, _ := c.(Viewer[T])
	return Out[T]{name, c, viewer}
}

func (p In[T]) portName() string { return p.name }
func (p In[T]) typename() string { return p.codec.Typename() }
func (p In[T]) isInput() bool    { return true }

func (p Out[T]) portName() string { return p.name }
func (p Out[T]) typename() string { return p.codec.Typename() }
func (p Out[T]) isInput() bool    { return false }

// Recv returns the next value, or io.EOF after the last. A record that does not decode is a *PortError,
// and the job panics with it even if the program continues. Different ports may be read concurrently; one
// port must be read by one goroutine at a time.
func (p In[T]) Recv(ctx context.Context, job *Job) (T, error) {
	var zero T
	in, err := job.input(p.name)
	if err != nil {
		return zero, err
	}
	record, err := in.Recv(ctx)
	if err != nil {
		return zero, p.failed(job, err)
	}
	v, err := p.decode(in, record)
	if err != nil {
		return zero, job.undecodable(p.name, in.Count().Records-1, p.codec.Typename(), err)
	}
	return v, nil
}

func (p In[T]) failed(job *Job, err error) error {
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return job.portFailed(p.name, err)
}

func (p In[T]) decode(in *input, record []byte) (T, error) {
	if p.stable != nil && in.Stable() {
		return p.stable.DecodeStable(record)
	}
	return p.codec.Decode(record)
}

// All yields every value up to the end of the stream. An error is the last thing it yields. Breaking out
// of the loop leaves the rest unread; see [In.Close].
func (p In[T]) All(ctx context.Context, job *Job) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			v, err := p.Recv(ctx, job)
			if err != nil && errors.Is(err, io.EOF) {
				return
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// Batches yields every value up to the end of the stream, as many at once as are available and at least one.
// It costs less than All for small values. The slice is valid until the next iteration; its values are
// the same as All's. An error is the last thing it yields, together with the values before it.
func (p In[T]) Batches(ctx context.Context, job *Job) iter.Seq2[[]T, error] {
	return func(yield func([]T, error) bool) {
		values := make([]T, 0, 16)
		for {
			var err error
			values, err = p.recvBatch(ctx, job, values[:0])
			if err != nil && errors.Is(err, io.EOF) {
				return
			}
			if !yield(values, err) || err != nil {
				return
			}
		}
	}
}

// recvBatch appends the available values.
func (p In[T]) recvBatch(ctx context.Context, job *Job, values []T) ([]T, error) {
	in, err := job.input(p.name)
	if err != nil {
		return values, err
	}
	records, err := in.recvBatch(ctx)
	if err != nil {
		return values, p.failed(job, err)
	}
	first := in.Count().Records - int64(len(records))
	for i, record := range records {
		v, err := p.decode(in, record)
		if err != nil {
			return values, job.undecodable(p.name, first+int64(i), p.codec.Typename(), err)
		}
		values = append(values, v)
	}
	return values, nil
}

// Close tells the writer that the job needs no more of this input, so that the writer may end. An input
// that is not at its end when the program returns nil is closed the same way.
func (p In[T]) Close(ctx context.Context, job *Job) error {
	in, err := job.input(p.name)
	if err != nil {
		return err
	}
	return in.Close(ctx)
}

// Send writes a value. It returns when the value is on its way. It blocks while the reader is more than the
// edge's window behind. ErrReaderClosed means that the reader needs no more records; a program that returns
// it ends normally. A port must be written by one goroutine at a time.
func (p Out[T]) Send(ctx context.Context, job *Job, v T) error {
	out, err := job.output(p.name)
	if err != nil {
		return err
	}
	record, err := p.encode(out, v)
	if err != nil {
		return err
	}
	if err := out.Send(ctx, record); err != nil {
		return job.portFailed(p.name, err)
	}
	return nil
}

// encode returns the bytes of a value, which are valid until the next call.
func (p Out[T]) encode(out *output, v T) (record []byte, err error) {
	if p.viewer != nil {
		record, err = p.viewer.View(v)
	} else {
		out.scratch, err = p.codec.Append(out.scratch[:0], v)
		record = out.scratch
	}
	if err != nil {
		return nil, fmt.Errorf("output %s: encode %s: %w", p.name, p.codec.Typename(), err)
	}
	return record, nil
}

// SendBatch writes values in order. It costs less than calling Send for each. If a value does not encode,
// the values before it are sent.
func (p Out[T]) SendBatch(ctx context.Context, job *Job, values []T) error {
	out, err := job.output(p.name)
	if err != nil {
		return err
	}
	for len(values) > 0 {
		n := min(len(values), maxBatch)
		if err := p.sendBatch(ctx, job, out, values[:n]); err != nil {
			return err
		}
		values = values[n:]
	}
	return nil
}

func (p Out[T]) sendBatch(ctx context.Context, job *Job, out *output, values []T) error {
	encoded := p.encodeBatch(out, values)
	defer clear(out.batch)
	if _, err := out.writer.SendBatch(ctx, out.batch); err != nil {
		return job.portFailed(p.name, err)
	}
	return encoded
}

// encodeBatch adds the encoded values to the output's batch, up to the first that does not encode.
func (p Out[T]) encodeBatch(out *output, values []T) error {
	out.batch = out.batch[:0]
	if p.viewer == nil {
		return p.appendBatch(out, values)
	}
	for _, v := range values {
		record, err := p.encode(out, v)
		if err != nil {
			return err
		}
		out.batch = append(out.batch, record)
	}
	return nil
}

// appendBatch is encodeBatch for a codec without View: it encodes all values into one scratch buffer, which may
// move as it grows.
func (p Out[T]) appendBatch(out *output, values []T) (err error) {
	out.scratch = out.scratch[:0]
	ends := make([]int, 0, len(values))
	for _, v := range values {
		if out.scratch, err = p.codec.Append(out.scratch, v); err != nil {
			err = fmt.Errorf("output %s: encode %s: %w", p.name, p.codec.Typename(), err)
			break
		}
		ends = append(ends, len(out.scratch))
	}
	from := 0
	for _, end := range ends {
		out.batch = append(out.batch, out.scratch[from:end:end])
		from = end
	}
	return err
}

// Close ends the stream before the program returns, so that the reader can finish.
func (p Out[T]) Close(ctx context.Context, job *Job) error {
	out, err := job.output(p.name)
	if err != nil {
		return err
	}
	if err := out.Close(ctx); err != nil && !errors.Is(err, ErrReaderClosed) {
		return job.portFailed(p.name, err)
	}
	return nil
}
