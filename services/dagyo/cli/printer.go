package cli

import (
	"bufio"
	"context"
	"io"
	"sync"

	"github.com/dagyo/dagyo/services/dagyo/client"
)

// A printer writes the records of a flow's outputs. Writing waits for nobody to read: what was
// written in the meantime goes out together.
type printer struct {
	json  bool
	named bool // say which output a record is from

	mu     sync.Mutex
	w      *bufio.Writer
	line   []byte
	broken error
	dirty  chan struct{}
}

func newPrinter(w io.Writer, json, named bool) *printer {
	return &printer{
		json: json, named: named,
		w: bufio.NewWriterSize(w, 64<<10), dirty: make(chan struct{}, 1),
	}
}

// print writes a record. client.ErrEnough says that nobody reads any more.
func (p *printer) print(output, typename string, record []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.format(output, typename, record); err != nil {
		return err
	}
	if p.w.Available() < len(p.line) {
		p.flush()
	}
	if p.broken == nil && len(p.line) > p.w.Available() { // longer than the buffer
		_, p.broken = p.w.Write(p.line)
	} else if p.broken == nil {
		_, p.broken = p.w.Write(p.line)
	}
	if p.broken != nil {
		return client.ErrEnough
	}
	select {
	case p.dirty <- struct{}{}:
	default:
	}
	return nil
}

func (p *printer) format(output, typename string, record []byte) (err error) {
	p.line = p.line[:0]
	if p.json {
		p.line, err = recordJSON(p.line, output, typename, record)
		return err
	}
	if p.named {
		p.line = append(append(p.line, output...), '\t')
	}
	p.line = recordText(p.line, typename, record)
	return nil
}

func (p *printer) flush() {
	if p.broken == nil && p.w.Buffered() > 0 {
		p.broken = p.w.Flush()
	}
}

// run writes out what print has gathered, until the context ends.
func (p *printer) run(ctx context.Context) {
	for {
		select {
		case <-p.dirty:
		case <-ctx.Done():
		}
		p.mu.Lock()
		p.flush()
		p.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
	}
}
