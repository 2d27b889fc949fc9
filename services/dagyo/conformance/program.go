package conformance

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/conformance/audit"
	"github.com/dagyo/dagyo/services/dagyo/conformance/tap"
)

// tailSize is how much is kept of what a program writes to standard output and error, in octets.
const tailSize = 4 << 10

// A program is one process of the executor under test, behind a tap of its own.
type program struct {
	id     string
	tap    *tap.Tap
	cmd    *exec.Cmd
	remove func() // what the end of the process leaves
	out    tail

	timing
	leaving atomic.Bool // it is meant to end
	exited  chan struct{}
	err     error // of Wait, once exited is closed

	breach atomic.Pointer[error] // the first one
}

// startProgram launches an executor with its environment, less the queue and the credentials, which are given. Should
// the process end although nobody wanted it to, or go beyond the rights that the credentials give, lost is called.
func startProgram(l launcher, environ []string, id string, c credentials, server string, lost func(error)) (*program, error) {
	t, err := tap.Start(server)
	if err != nil {
		return nil, err
	}
	p := &program{id: id, tap: t, exited: make(chan struct{})}
	if c.token != "" {
		p.judge(c.token, lost)
	}
	p.cmd, p.remove, err = l.launch(append(environ, contract.EnvQueue+"="+t.URL()), c.path)
	if err != nil {
		t.Close()
		return nil, err
	}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	// A group of its own, so that close ends what it has started too.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = time.Second
	if err := p.cmd.Start(); err != nil {
		t.Close()
		return nil, fmt.Errorf("start the executor: %w", err)
	}
	go func() {
		defer close(p.exited)
		p.err = p.cmd.Wait()
		if !p.leaving.Load() {
			lost(fmt.Errorf("the executor has ended: %s", p.how()))
		}
	}()
	return p, nil
}

// judge calls lost when the executor goes beyond its rights.
func (p *program) judge(token string, lost func(error)) {
	rights := audit.NewRights(p.id, token)
	p.tap.Watch(func(m tap.Message) {
		if err := rights.Check(m); err != nil && p.breach.CompareAndSwap(nil, &err) {
			lost(err)
		}
	})
}

// broken returns how the executor went beyond its rights.
func (p *program) broken() error {
	if err := p.breach.Load(); err != nil {
		return *err
	}
	return nil
}

// terminate sends the signal that drains.
func (p *program) terminate() error {
	p.leaving.Store(true)
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("send SIGTERM to the executor: %w", err)
	}
	return nil
}

// code waits for the process and returns its exit code, -1 where a signal ended it.
func (p *program) code(ctx context.Context) (int, error) {
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// how says how the process has ended.
func (p *program) how() string {
	var exit *exec.ExitError
	if p.err == nil || errors.As(p.err, &exit) {
		return p.cmd.ProcessState.String()
	}
	return p.err.Error()
}

// close kills the process and all of its group, and waits for it.
func (p *program) close() {
	p.leaving.Store(true)
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // or it has gone
	<-p.exited
	p.remove()
	p.tap.Close()
}

// A tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	end []byte
}

// Write implements io.Writer.
func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.end = append(t.end, b[max(0, len(b)-tailSize):]...)
	t.end = t.end[max(0, len(t.end)-tailSize):]
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ToValidUTF8(string(t.end), "�")
}
