package site

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// A process can be killed, paused and started again. Its standard error is kept in a file, over all its lives.
type process struct {
	name string
	make func() *exec.Cmd
	log  string

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{} // closed when cmd has exited
	err   error         // how it exited, once ended is closed
}

func newProcess(dir, name string, make func() *exec.Cmd) *process {
	return &process{name: name, make: make, log: filepath.Join(dir, name+".log")}
}

// start starts it, unless it runs. It ends with the process that started it.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return nil
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the process has its own
	cmd := p.make()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	p.cmd, p.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) {
		p.err = cmd.Wait()
		close(ended)
	}(p.ended)
	return nil
}

// running reports whether it runs. p.mu must be held.
func (p *process) running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// alive reports whether it runs, and how it exited if it does not.
func (p *process) alive() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return nil
	}
	if p.cmd == nil {
		return errors.New("was never started")
	}
	if p.err == nil {
		return errors.New("exited")
	}
	return p.err
}

// signal sends a signal, if it runs.
func (p *process) signal(sig os.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		_ = p.cmd.Process.Signal(sig) // it may be exiting
	}
}

// kill ends it at once, and waits for that.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	p.wait(context.Background())
}

// stop asks it to end, and kills it after a time.
func (p *process) stop(patience time.Duration) error {
	p.signal(syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if p.wait(ctx) {
		return nil
	}
	p.kill()
	return fmt.Errorf("%s did not exit within %s of SIGTERM", p.name, patience)
}

// wait waits until it has exited, and reports whether it has.
func (p *process) wait(ctx context.Context) bool {
	p.mu.Lock()
	ended := p.ended
	p.mu.Unlock()
	if ended == nil {
		return true
	}
	select {
	case <-ended:
		return true
	case <-ctx.Done():
		return false
	}
}

// busyLoop is a process that computes for ever.
func busyLoop() *exec.Cmd { return exec.Command("sh", "-c", "while :; do :; done") }
