package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/records"
	"github.com/dagyo/dagyo/pkg/stream"
)

// ends feeds a flow's own inputs from files, and prints its outputs or writes them to files.
type ends struct {
	app    *app
	client *client.Client
	flow   string
	files  *files
	// partly is set if other clients read other outputs: then the outputs are not released here.
	partly bool

	begun    bool
	named    bool // print the name of a record's output
	printer  *printer
	working  sync.WaitGroup
	over     context.CancelFunc       // called when the flow has its verdict
	unwatch  func() bool              // called when the outputs are read
	failures chan error               // receives the first error
	taken    map[string]*atomic.Int64 // records by the subject of the output's credits

	mu       sync.Mutex
	err      error                           // likewise
	printers []*printer                      // of files
	read     map[string]contract.OutputCount // by output
	cut      []string                        // outputs without an end
}

// open starts feeding the inputs and writing the outputs.
func (e *ends) open(ctx context.Context, d *contract.FlowPlanned) {
	if e.begun || len(d.Inputs)+len(d.Outputs) == 0 {
		return
	}
	e.begun, e.named = true, len(d.Outputs) > 1
	e.failures = make(chan error, 1)
	e.read = make(map[string]contract.OutputCount)
	e.taken = make(map[string]*atomic.Int64, len(d.Outputs))
	for _, a := range d.Outputs {
		e.taken[a.Credit] = new(atomic.Int64)
	}
	e.printer = newPrinter("standard output", through{e.app.stdout}, e.fail)
	var running context.Context
	running, e.over = context.WithCancel(ctx)
	e.unwatch = context.AfterFunc(ctx, func() { e.abandon(context.Cause(ctx)) })
	for name, a := range d.Outputs {
		e.working.Go(func() { e.readOutput(ctx, running, name, a) })
	}
	for name, a := range d.Inputs {
		e.working.Go(func() { e.feed(running, name, a) })
	}
}

// fail records the first error of an input or output, and delivers it to the follower.
func (e *ends) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		e.err = err
		e.failures <- err
	}
}

// failure delivers the first error of an input or output. The caller then cancels the flow.
func (e *ends) failure() <-chan error {
	if e == nil {
		return nil
	}
	return e.failures
}

// readOutput reads an output to its end.
func (e *ends) readOutput(ctx, running context.Context, name string, a contract.Address) {
	t, err := e.taker(ctx, running, name, a.Type)
	if err == nil {
		taken := e.taken[a.Credit]
		var n contract.OutputCount
		n, err = e.client.Read(ctx, running, a, func(record []byte) error {
			taken.Add(1)
			return t.take(record)
		})
		cut := errors.Is(err, stream.ErrCut)
		if ended := t.end(); err == nil || cut {
			err = ended
		}
		e.mu.Lock()
		e.read[name] = n
		if cut {
			e.cut = append(e.cut, name)
		}
		e.mu.Unlock()
	}
	switch {
	case err == nil, ctx.Err() != nil:
	case errors.Is(err, stream.ErrGone):
		e.fail(fmt.Errorf("output %s was deleted before it was read: raise --output-retention", name))
	default:
		e.fail(fmt.Errorf("output %s: %w", name, err))
	}
}

// A taker handles the records of one output.
type taker struct {
	take func(record []byte) error
	end  func() error
}

func nothing() error { return nil }

func (e *ends) taker(ctx, running context.Context, name, typename string) (taker, error) {
	out := e.files.output(name)
	opening, stop := outlast(ctx, running, pipeWait, errNoReader)
	f, err := out.Begin(opening)
	stop()
	format := out.FormatOf(typename)
	switch {
	case err != nil:
		return taker{}, fmt.Errorf("cannot open %s: %w", out.Path, reasonOf(err))
	case out.Each():
		return eachFile(out, typename), nil
	case f == nil:
		return taker{e.printed(name, typename, format), nothing}, nil
	}
	fail := func(err error) { e.fail(fmt.Errorf("output %s: %w", name, err)) }
	p := newPrinter(out.Path, f, fail)
	e.mu.Lock()
	e.printers = append(e.printers, p)
	e.mu.Unlock()
	take := func(record []byte) error {
		return p.print(func(dst []byte) []byte { return format.Append(dst, typename, record) })
	}
	return taker{take, func() error { return errors.Join(p.close(), f.Close()) }}, nil
}

// pipeWait is the time that the reader of a named pipe has to open it after the flow has ended.
const pipeWait = 30 * time.Second

var errNoReader = fmt.Errorf("no program opened the named pipe for reading within %v after the flow ended", pipeWait)

// outlast returns a context that ends some time after another context.
func outlast(ctx, other context.Context, by time.Duration, why error) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(other, func() {
		late := time.AfterFunc(by, func() { cancel(why) })
		context.AfterFunc(ctx, func() { late.Stop() })
	})
	return ctx, func() { stop(); cancel(nil) }
}

// eachFile writes each record to a separate file.
func eachFile(out *records.Output, typename string) taker {
	var n int64
	take := func(record []byte) error {
		n++
		return out.WriteEach(n-1, typename, record)
	}
	return taker{take, nothing}
}

// printed writes records to standard output.
func (e *ends) printed(name, typename string, format records.Format) func(record []byte) error {
	encode := func(dst, record []byte) []byte {
		if e.named && format != records.Whole {
			dst = append(append(dst, name...), '\t')
		}
		return format.Append(dst, typename, record)
	}
	if e.app.json() {
		encode = func(dst, record []byte) []byte { return recordJSON(dst, name, typename, record) }
	}
	return func(record []byte) error {
		return e.printer.print(func(dst []byte) []byte { return encode(dst, record) })
	}
}

// finish reads the rest of the outputs after the verdict, and releases them on the broker. It returns the first
// error of any input or output.
func (e *ends) finish(ctx context.Context, verdict contract.Type) error {
	if !e.begun {
		return nil
	}
	e.over()
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.working.Wait()
		_ = e.printer.close() // its error was recorded
	}()
	select {
	case <-done:
		e.unwatch()
	case <-ctx.Done(): // the reader of the output may be blocked: do not wait for it
		return context.Cause(ctx)
	}
	var err error
	if read := e.counts(); !e.partly {
		err = e.client.Release(e.flow, read)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.err != nil:
		return e.err
	case verdict == contract.TypeFlowCompleted && len(e.cut) > 0:
		return fmt.Errorf("the flow completed, but these outputs were not read to the end: %s", strings.Join(e.cut, ", "))
	}
	return err
}

// abandon stops reading the outputs. It does not wait for blocked writes.
func (e *ends) abandon(err error) {
	e.printer.abandon(err)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.printers {
		p.abandon(err)
	}
}

// progress updates how many records of each output were taken: credits do not show it while a write blocks.
func (e *ends) progress(consumed func(creditSubject string, records uint64)) {
	if e == nil {
		return
	}
	for subject, n := range e.taken {
		consumed(subject, uint64(n.Load()))
	}
}

// counts returns the counts of each output.
func (e *ends) counts() map[string]contract.OutputCount {
	if e == nil {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	return maps.Clone(e.read)
}

// feed sends the records of an input's files.
func (e *ends) feed(ctx context.Context, name string, a contract.Address) {
	in := e.files.inputs[name]
	if in == nil {
		return // another client feeds it
	}
	all := make(chan item)
	// This goroutine is not waited for: a read from a terminal or a pipe cannot be interrupted.
	go hand(ctx, in, a.Type, all)
	_, err := e.client.Write(ctx, a, func() ([]byte, error) {
		select {
		case next := <-all:
			return next.record, next.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	if err != nil && ctx.Err() == nil {
		e.fail(fmt.Errorf("feed input %s: %w", name, err))
	}
}

// An item is a record of a file, or an error; the last one is io.EOF.
type item struct {
	record []byte
	err    error
}

// hand passes on the records of an input.
func hand(ctx context.Context, in *records.Input, typename string, to chan<- item) {
	for record, err := range in.Records(typename) {
		select {
		case to <- item{record, err}:
		case <-ctx.Done():
			return
		}
	}
	select {
	case to <- item{err: io.EOF}:
	case <-ctx.Done():
	}
}
