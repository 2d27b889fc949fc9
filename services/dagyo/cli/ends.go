package cli

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

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
	// around keeps the display out of the way of what is printed.
	around func(func())

	printer *printer
	group   *errgroup.Group
	over    context.CancelFunc // the flow has its verdict
	writing sync.WaitGroup     // the printer's goroutine
	written context.CancelFunc

	mu   sync.Mutex
	read map[string]contract.Count // by output
}

// open begins to feed the inputs and to print the outputs.
func (e *ends) open(ctx context.Context, d *contract.FlowPlanned) error {
	if e.group != nil || len(d.Inputs)+len(d.Outputs) == 0 {
		return nil
	}
	e.read = make(map[string]contract.Count)
	e.group, ctx = errgroup.WithContext(ctx)
	var running, printing context.Context
	running, e.over = context.WithCancel(ctx)
	printing, e.written = context.WithCancel(context.WithoutCancel(ctx))
	e.printer = newPrinter(e.app.Out, e.app.json(), len(d.Outputs) > 1, e.around)
	e.writing.Go(func() { e.printer.run(printing) })
	for name, a := range d.Outputs {
		e.group.Go(func() error { return e.readOutput(ctx, running, name, a) })
	}
	for name, a := range d.Inputs {
		e.group.Go(func() error { return e.feed(running, name, a) })
	}
	return nil
}

func (e *ends) readOutput(
	ctx, running context.Context, name string, a contract.Address,
) error {
	n, err := e.client.Read(ctx, running, a, func(record []byte) error {
		return e.printer.print(name, a.Type, record)
	})
	e.mu.Lock()
	e.read[name] = n
	e.mu.Unlock()
	if errors.Is(err, stream.ErrGone) {
		return fmt.Errorf("output %s was cleaned up before it was read: raise --output-retention", name)
	}
	if err != nil {
		return fmt.Errorf("read output %s: %w", name, err)
	}
	return nil
}

// finish reads the rest of the outputs after the verdict, and lets the broker forget them.
func (e *ends) finish(ctx context.Context) error {
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
	if releaseErr := e.client.Release(e.flow); err == nil {
		err = releaseErr
	}
	return err
}

// counts is what was read of each output.
func (e *ends) counts() map[string]contract.Count {
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.read
}

// recordLimit bounds a line of an input, in octets.
const recordLimit = 64 << 20

// feed sends each line of a file as a record.
func (e *ends) feed(ctx context.Context, name string, a contract.Address) error {
	in, closeFile, err := e.app.openInput(e.inputs[name])
	if err != nil {
		return err
	}
	defer closeFile()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, recordLimit)
	_, err = e.client.Write(ctx, a, func() ([]byte, error) {
		if !lines.Scan() {
			return nil, cmp.Or(lines.Err(), io.EOF)
		}
		return parseRecord(a.Type, bytes.TrimSuffix(lines.Bytes(), []byte("\r")))
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("feed input %s: %w", name, err)
	}
	return nil
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
