package shim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/dagyo/dagyo/executor"
)

// outputs tracks the outputs of a command that still have a reader.
type outputs struct {
	sources map[string]*source // by port name

	mu     sync.Mutex
	open   int // outputs that are neither ended nor closed by their readers
	closed int // outputs closed by their readers
}

func newOutputs(p *process, idle time.Duration) *outputs {
	o := &outputs{sources: make(map[string]*source)}
	for i, port := range p.ports {
		if !port.input {
			o.sources[port.Name] = &source{f: p.pipes[i], idle: idle}
		}
	}
	o.open = len(o.sources)
	return o
}

// leave notes that an output has ended, or that its reader closed it. When none is left, the pipes are
// closed, and the command's next write fails.
func (o *outputs) leave(byReader bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open--
	if byReader {
		o.closed++
	}
	if o.open > 0 {
		return
	}
	for _, s := range o.sources {
		_ = s.f.Close()
	}
}

// over records that the command has exited.
func (o *outputs) over() {
	for _, s := range o.sources {
		s.over()
	}
}

// unwanted reports whether the exit status of the command does not matter: no output has a reader any
// more, or the command could not write to an output without a reader.
func (o *outputs) unwanted(brokenPipe bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.closed > 0 && (brokenPipe || o.closed == len(o.sources))
}

// collect sends what the command writes to an output. If the output has failed or its reader needs no
// more, the rest is dropped while other outputs are open: the command must not block.
func (r *run) collect(ctx context.Context, p port, from *source) {
	err := r.sendAll(ctx, p, from)
	byReader := errors.Is(err, executor.ErrReaderClosed)
	if !byReader {
		r.failWith(ctx, err)
	}
	r.outputs.leave(byReader)
	_, _ = io.Copy(io.Discard, from) // an error is an end, too
}

func (r *run) sendAll(ctx context.Context, p port, from *source) error {
	out := executor.Output(p.Name, executor.Any(p.Typename))
	s := newSplitter(from, p.framing.finder(p.Typename))
	for {
		before := s.count
		records, failed := s.next()
		good, bad := firstBad(p, records)
		if err := out.SendBatch(ctx, r.job, records[:good]); err != nil {
			return err
		}
		switch {
		case bad != nil:
			return badRecord(p, before+int64(good), bad)
		case errors.Is(failed, io.EOF):
			return nil
		case failed != nil:
			return badRecord(p, s.count, failed)
		}
	}
}

// firstBad returns the index of the first record that does not match the typename, and the reason.
func firstBad(p port, records [][]byte) (int, error) {
	for i, record := range records {
		if err := checked(p.Typename).check(record); err != nil {
			return i, fmt.Errorf("it is not %s: %w", p.Typename, err)
		}
	}
	return len(records), nil
}

// badRecord is the error for a record of the command that no reader could decode.
func badRecord(p port, record int64, err error) error {
	return &executor.PortError{
		Port: p.Name, Record: record,
		Err: fmt.Errorf("%s, record %d, framed as %s: %w", p, record, p.framing, err),
	}
}
