package role

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// endWait is how long a role may take to exit after its input was closed; then it is killed.
const endWait = 15 * time.Second

// maxErrors limits the kept part of a role's standard error, in bytes.
const maxErrors = 4 << 10

// Arg is the first argument of a process that serves a role; the second argument is the role's name.
const Arg = "role"

// A Process is a running role, as its parent sees it. It is not safe for concurrent use.
type Process struct {
	name   string
	cmd    *exec.Cmd
	in     io.WriteCloser
	lines  chan reply
	errors head
	ended  chan struct{}
}

// Start starts a role. The caller must end it.
func Start(name string) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &Process{
		name: name, cmd: exec.Command(self, Arg, name),
		lines: make(chan reply, 64), ended: make(chan struct{}),
	}
	p.cmd.Stderr = &p.errors
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start role %s: %w", name, err)
	}
	go p.read(out)
	return p, nil
}

// read passes on the role's replies, and waits until it exits.
func (p *Process) read(out io.Reader) {
	defer close(p.ended)
	defer close(p.lines)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var r reply
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			continue // a line from a library
		}
		p.lines <- r
	}
	_ = p.cmd.Wait() // the error was reported by the role or is in its standard error
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Tell sends a command.
func (p *Process) Tell(verb string, arg any) error {
	c := command{Verb: verb}
	var err error
	if c.Arg, err = json.Marshal(arg); err != nil {
		return err
	}
	if err := json.NewEncoder(p.in).Encode(c); err != nil {
		return p.failed(err)
	}
	return nil
}

// Hear waits for the role's next reply.
func (p *Process) Hear(ctx context.Context, v any) error {
	select {
	case r, open := <-p.lines:
		if !open {
			return p.failed(errors.New("it has exited"))
		}
		if r.Error != "" {
			return p.failed(errors.New(r.Error))
		}
		if v == nil {
			return nil
		}
		return json.Unmarshal(r.Data, v)
	case <-ctx.Done():
		return p.failed(context.Cause(ctx))
	}
}

// Ask sends a command and waits for the reply.
func (p *Process) Ask(ctx context.Context, verb string, arg, answer any) error {
	if err := p.Tell(verb, arg); err != nil {
		return err
	}
	return p.Hear(ctx, answer)
}

func (p *Process) failed(err error) error {
	if said := p.errors.String(); said != "" {
		return fmt.Errorf("role %s: %w (%s)", p.name, err, said)
	}
	return fmt.Errorf("role %s: %w", p.name, err)
}

// End closes the role's input and waits until it exits.
func (p *Process) End() {
	_ = p.in.Close() // it may have exited
	kill := time.AfterFunc(endWait, func() { _ = p.cmd.Process.Kill() })
	defer kill.Stop()
	for range p.lines { // further replies are not needed
	}
	<-p.ended
}

// A head keeps the beginning of the data written to it.
type head struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (h *head) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.buf.Write(b[:min(len(b), maxErrors-h.buf.Len())])
	return len(b), nil
}

func (h *head) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.TrimSpace(h.buf.String())
}
