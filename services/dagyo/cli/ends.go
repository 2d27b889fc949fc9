package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/services/dagyo/client"
)

// ends are a flow's own inputs, which are fed from files, and its outputs, which are printed.
type ends struct {
	app    *app
	client *client.Client
	flow   string
	// inputs are files by the input's name.
	inputs map[string]string
	// outputs are files by the output's name; the others are printed.
	outputs map[string]string

	printer *printer
	group   *errgroup.Group
	failed  chan error         // an input that cannot be fed
	over    context.CancelFunc // the flow has its verdict
	writing sync.WaitGroup     // the printer's goroutine
	written context.CancelFunc

	taken map[string]*atomic.Int64 // records by the subject of the output's credits

	mu   sync.Mutex
	read map[string]contract.Count // by output
	cut  []string                  // outputs without an end
}

// open begins to feed the inputs and to print the outputs.
func (e *ends) open(ctx context.Context, d *contract.FlowPlanned) {
	if e.group != nil || len(d.Inputs)+len(d.Outputs) == 0 {
		return
	}
	e.failed = make(chan error, len(d.Inputs))
	e.read = make(map[string]contract.Count)
	e.taken = make(map[string]*atomic.Int64, len(d.Outputs))
	for _, a := range d.Outputs {
		e.taken[a.Credit] = new(atomic.Int64)
	}
	e.group, ctx = errgroup.WithContext(ctx)
	var running, printing context.Context
	running, e.over = context.WithCancel(ctx)
	printing, e.written = context.WithCancel(context.WithoutCancel(ctx))
	e.printer = newPrinter(through{e.app.stdout}, e.app.json(), len(d.Outputs) > 1)
	e.writing.Go(func() { e.printer.run(printing) })
	for name, a := range d.Outputs {
		e.group.Go(func() error { return e.readOutput(ctx, running, name, a) })
	}
	for name, a := range d.Inputs {
		e.group.Go(func() error {
			if err := e.feed(running, name, a); err != nil && running.Err() == nil {
				e.failed <- err
			}
			return nil
		})
	}
}

func (e *ends) readOutput(
	ctx, running context.Context, name string, a contract.Address,
) error {
	take, end, err := e.sink(name, a.Type)
	if err != nil {
		return err
	}
	taken := e.taken[a.Credit]
	n, err := e.client.Read(ctx, running, a, func(record []byte) error {
		taken.Add(1)
		return take(record)
	})
	err = errors.Join(err, end())
	e.mu.Lock()
	e.read[name] = n
	if errors.Is(err, stream.ErrCut) {
		e.cut, err = append(e.cut, name), nil
	}
	e.mu.Unlock()
	if errors.Is(err, stream.ErrGone) {
		return fmt.Errorf("output %s was cleaned up before it was read: raise --output-retention", name)
	}
	if err != nil {
		return fmt.Errorf("read output %s: %w", name, err)
	}
	return nil
}

// sink returns what takes the records of an output, and what ends it.
func (e *ends) sink(name, typename string) (take func([]byte) error, end func() error, err error) {
	path := e.outputs[name]
	if path == "" || path == stdin {
		take = func(record []byte) error { return e.printer.print(name, typename, record) }
		return take, func() error { return nil }, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, nil, fmt.Errorf("write output %s: %w", name, err)
	}
	w := bufio.NewWriter(f)
	var text []byte
	take = func(record []byte) error {
		text = recordText(text[:0], typename, record)
		_, err := w.Write(text)
		return err
	}
	return take, func() error { return errors.Join(w.Flush(), f.Close()) }, nil
}

// finish reads the rest of the outputs after the verdict, and lets the broker forget them.
func (e *ends) finish(ctx context.Context, verdict contract.Type) error {
	if e.group == nil {
		return nil
	}
	e.over()
	done := make(chan error, 1)
	go func() { done <- e.group.Wait() }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done(): // whoever should read our output may not: do not wait for that
		return context.Cause(ctx)
	}
	e.written()
	e.writing.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil && verdict == contract.TypeFlowCompleted && len(e.cut) > 0 {
		err = fmt.Errorf("the flow completed, but output %s was cleaned up before it was read to its end: "+
			"raise --output-retention", strings.Join(e.cut, ", "))
	}
	if releaseErr := e.client.Release(e.flow); err == nil {
		err = releaseErr
	}
	return err
}

// progress passes on how many records of each output were taken: credits do not tell while a write blocks.
func (e *ends) progress(consumed func(creditSubject string, records uint64)) {
	if e == nil {
		return
	}
	for subject, n := range e.taken {
		consumed(subject, uint64(n.Load()))
	}
}

// counts is what was read of each output.
func (e *ends) counts() map[string]contract.Count {
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.read)
}

// failure delivers the error of an input that cannot be fed.
func (e *ends) failure() <-chan error {
	if e == nil {
		return nil
	}
	return e.failed
}

// recordLimit bounds a line of an input, in octets.
const recordLimit = 64 << 20

// feed sends each line of a file as a record.
func (e *ends) feed(ctx context.Context, name string, a contract.Address) error {
	lines := make(chan line)
	// Nobody waits for this goroutine: a read from a terminal or a pipe cannot be ended from here.
	go e.app.readLines(ctx, e.inputs[name], lines)
	_, err := e.client.Write(ctx, a, func() ([]byte, error) {
		select {
		case l := <-lines:
			if l.err != nil {
				return nil, l.err
			}
			return parseRecord(a.Type, l.text)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	if err != nil {
		return fmt.Errorf("feed input %s: %w", name, err)
	}
	return nil
}

// A line of a file, or why there is none; io.EOF is the last.
type line struct {
	text []byte
	err  error
}

// readLines hands over the lines of a file.
func (a *app) readLines(ctx context.Context, path string, lines chan<- line) {
	in, closeFile, err := a.openInput(path)
	if err == nil {
		defer closeFile()
		err = scan(ctx, in, lines)
	}
	select {
	case lines <- line{err: err}:
	case <-ctx.Done():
	}
}

// scan returns io.EOF when it has handed over every line.
func scan(ctx context.Context, in io.Reader, lines chan<- line) error {
	s := bufio.NewScanner(in)
	s.Buffer(nil, recordLimit)
	for s.Scan() {
		text := bytes.Clone(bytes.TrimSuffix(s.Bytes(), []byte("\r")))
		select {
		case lines <- line{text: text}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return cmp.Or(s.Err(), io.EOF)
}

func (a *app) openInput(path string) (io.Reader, func(), error) {
	if path == stdin {
		return a.In, func() {}, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	return f, func() { _ = f.Close() }, nil
}
