package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/dagyo/dagyo/pkg/contract"
)

// A reader is the reading end of an edge: a *stream.Reader, or what [In.Feed] has encoded.
type reader interface {
	Recv(ctx context.Context) ([]byte, error)
	RecvBatch(ctx context.Context, batch [][]byte) ([][]byte, error)
	Stable() bool
	Close(ctx context.Context) error
	Abort()
	Count() contract.Count
	Dropped() int64
}

// A writer is the writing end of an edge: a *stream.Writer, or what [Out.Collect] decodes.
type writer interface {
	Send(ctx context.Context, record []byte) error
	SendBatch(ctx context.Context, records [][]byte) (taken int, err error)
	Close(ctx context.Context) error
	Abort()
	Count() contract.Count
	Dropped() int64
}

// A Wire connects a port of a program to values of a test: see [Call].
type Wire struct {
	port    Port
	in      *fed
	out     *gathered
	collect func() error
	err     error
}

// Feed lets [Call] read these values on the input, followed by its end.
func (p In[T]) Feed(values ...T) Wire {
	w := Wire{port: p, in: &fed{}}
	for i, v := range values {
		record, err := p.codec.Append(nil, v)
		if err != nil {
			w.err = fmt.Errorf("input %s: encode value %d: %w", p.name, i, err)
			return w
		}
		w.in.records = append(w.in.records, record)
	}
	return w
}

// Collect lets [Call] append the values that the program sends on the output.
func (p Out[T]) Collect(values *[]T) Wire {
	w := Wire{port: p, out: &gathered{}}
	w.collect = func() error {
		for i, record := range w.out.records {
			v, err := p.codec.Decode(record)
			if err != nil {
				return fmt.Errorf("output %s: record %d is not %s: %w", p.name, i, p.typename(), err)
			}
			*values = append(*values, v)
		}
		return nil
	}
	return w
}

// Call runs a program once in this process, without a broker: for unit tests. Each port of the program needs a [Wire].
// Values pass through the codecs of their ports, as on an edge. Call returns the error with which the job would panic;
// what the program sent before it is collected.
func Call(ctx context.Context, p Program, wires ...Wire) error {
	job, err := wired(p, wires)
	if err != nil {
		return fmt.Errorf("call: %w", err)
	}
	err = p.Run(ctx, job)
	if errors.Is(err, ErrReaderClosed) {
		err = nil
	}
	if f := job.failed(); f != nil {
		err = f
	}
	if err == nil {
		err = job.finish(ctx)
	}
	for _, w := range wires {
		if w.collect != nil {
			err = errors.Join(err, w.collect())
		}
	}
	return err
}

// wired returns a job whose ports are the wires.
func wired(p Program, wires []Wire) (*Job, error) {
	job := &Job{log: slog.Default(), doc: contract.Job{
		Flow: "test", Node: "test", Job: "test", Progdef: p.Name,
		Inputs: make(map[string]contract.Address), Outputs: make(map[string]contract.Address),
	}}
	for _, w := range wires {
		name, at := w.port.portName(), contract.Address{Type: w.port.typename()}
		if _, twice := addresses(job.doc, w.port.isInput())[name]; twice {
			return nil, fmt.Errorf("%s %s has two wires", direction(w.port.isInput()), name)
		}
		addresses(job.doc, w.port.isInput())[name] = at
		if w.in != nil {
			job.inputs = append(job.inputs, &input{reader: w.in, port: name})
		} else {
			job.outputs = append(job.outputs, &output{writer: w.out, port: name})
		}
		if w.err != nil {
			return nil, w.err
		}
	}
	for _, port := range p.Ports {
		if _, ok := addresses(job.doc, port.isInput())[port.portName()]; !ok {
			return nil, fmt.Errorf("%s %s has no wire: add its Feed or Collect", direction(port.isInput()), port.portName())
		}
	}
	return job, p.check(job.doc)
}

// fed are the records of an input.
type fed struct {
	records [][]byte
	read    contract.Count
}

// Recv returns the next record.
func (f *fed) Recv(ctx context.Context) ([]byte, error) {
	one, err := f.take(ctx, 1)
	if err != nil {
		return nil, err
	}
	return one[0], nil
}

// RecvBatch appends the next records.
func (f *fed) RecvBatch(ctx context.Context, batch [][]byte) ([][]byte, error) {
	some, err := f.take(ctx, maxBatch)
	return append(batch, some...), err
}

func (f *fed) take(ctx context.Context, most int) ([][]byte, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if len(f.records) == 0 {
		return nil, io.EOF
	}
	some := f.records[:min(most, len(f.records))]
	f.records = f.records[len(some):]
	for _, record := range some {
		f.read.Records++
		f.read.Bytes += int64(len(record))
	}
	return some, nil
}

// Stable reports that records are never overwritten.
func (f *fed) Stable() bool { return true }

// Close does nothing: nobody writes any more.
func (f *fed) Close(context.Context) error { return nil }

// Abort does nothing.
func (f *fed) Abort() {}

// Count counts the records that were read.
func (f *fed) Count() contract.Count { return f.read }

// Dropped is 0.
func (f *fed) Dropped() int64 { return 0 }

// gathered are the records of an output.
type gathered struct {
	records [][]byte
	sent    contract.Count
}

// Send keeps a copy of a record.
func (g *gathered) Send(ctx context.Context, record []byte) error {
	_, err := g.SendBatch(ctx, [][]byte{record})
	return err
}

// SendBatch keeps copies of records.
func (g *gathered) SendBatch(ctx context.Context, records [][]byte) (int, error) {
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	for _, record := range records {
		g.records = append(g.records, append([]byte{}, record...))
		g.sent.Records++
		g.sent.Bytes += int64(len(record))
	}
	return len(records), nil
}

// Close does nothing: the records are complete when the program has returned.
func (g *gathered) Close(context.Context) error { return nil }

// Abort does nothing.
func (g *gathered) Abort() {}

// Count counts the records that were sent.
func (g *gathered) Count() contract.Count { return g.sent }

// Dropped is 0.
func (g *gathered) Dropped() int64 { return 0 }
