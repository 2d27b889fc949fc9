package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
)

// A Port is an input or output of a program: [In] and [Out] are the two.
type Port interface {
	portName() string
	typename() string
	isInput() bool
}

// In is an input port that carries values of type T.
type In[T any] struct {
	name  string
	codec Codec[T]
}

// Out is an output port that carries values of type T.
type Out[T any] struct {
	name  string
	codec Codec[T]
}

// Input declares an input port. The name and the codec's typename must be those of the progdef.
func Input[T any](name string, c Codec[T]) In[T] { return In[T]{name, c} }

// Output declares an output port. The name and the codec's typename must be those of the progdef.
func Output[T any](name string, c Codec[T]) Out[T] { return Out[T]{name, c} }

func (p In[T]) portName() string { return p.name }
func (p In[T]) typename() string { return p.codec.Typename() }
func (p In[T]) isInput() bool    { return true }

func (p Out[T]) portName() string { return p.name }
func (p Out[T]) typename() string { return p.codec.Typename() }
func (p Out[T]) isInput() bool    { return false }

// Recv returns the next value; io.EOF after the last. A record that does not decode is a *PortError,
// and the job's panic even if the program carries on. Different ports may be read at the same time, one
// port by one goroutine only.
func (p In[T]) Recv(ctx context.Context, job *Job) (T, error) {
	var zero T
	in, err := job.input(p.name)
	if err != nil {
		return zero, err
	}
	record, err := in.Recv(ctx)
	if errors.Is(err, io.EOF) {
		return zero, io.EOF
	}
	if err != nil {
		return zero, job.portFailed(p.name, err)
	}
	v, err := p.codec.Decode(record)
	if err != nil {
		return zero, job.undecodable(p.name, in.Count().Records-1, p.codec.Typename(), err)
	}
	return v, nil
}

// All yields every value to the end of the stream; an error is the last thing it yields. Breaking out
// of the loop leaves the rest unread; see [In.Close].
func (p In[T]) All(ctx context.Context, job *Job) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			v, err := p.Recv(ctx, job)
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// Close says that the job wants no more of this input: the writer learns it, and may end. An input that
// is not at its end when the program returns nil is closed likewise.
func (p In[T]) Close(ctx context.Context, job *Job) error {
	in, err := job.input(p.name)
	if err != nil {
		return err
	}
	return in.Close(ctx)
}

// Send writes a value. It returns when the value is under way, and waits while the reader is more than
// the edge's window behind. ErrReaderClosed says that the reader wants no more; a program that returns
// it ends normally. One port may be written by one goroutine at a time.
func (p Out[T]) Send(ctx context.Context, job *Job, v T) error {
	out, err := job.output(p.name)
	if err != nil {
		return err
	}
	if out.scratch, err = p.codec.Append(out.scratch[:0], v); err != nil {
		return fmt.Errorf("output %s: encode %s: %w", p.name, p.codec.Typename(), err)
	}
	if err := out.Send(ctx, out.scratch); err != nil {
		return job.portFailed(p.name, err)
	}
	return nil
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
