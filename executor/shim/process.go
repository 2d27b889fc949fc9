package shim

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/pkg/trace"
)

// A process is the command of one job, with our ends of its pipes.
type process struct {
	cmd    *exec.Cmd
	ports  []port
	pipes  []*os.File // of the ports, in their order
	stderr *os.File
	exited chan struct{} // closed when state is known
	status error         // the result of exec.Cmd.Wait
	exitOK ExitCodes     // the exit codes besides 0 that mean success
}

// start starts the command with a pipe for each port.
func (c Config) start(job *executor.Job, ports []port) (*process, error) {
	p := &process{ports: ports, exited: make(chan struct{}), exitOK: c.ExitOK, cmd: exec.Command(c.Command[0], c.Command[1:]...)}
	p.cmd.Env = environ(job, ports)
	p.cmd.SysProcAttr = commandAttr()
	theirs, err := p.connect()
	defer closeAll(theirs)
	if err == nil {
		err = p.spawn()
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// environ is the executor's own environment without Dagyo's variables, which contain an address with
// credentials, and with the variables of the job: its flow, node, ports, and TRACEPARENT and TRACESTATE if it has a trace.
func environ(job *executor.Job, ports []port) []string {
	var env []string
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); !strings.HasPrefix(v, envOwn) && !trace.IsVariable(name) {
			env = append(env, v)
		}
	}
	env = append(env, envFlow+"="+job.Flow(), envNode+"="+job.Node())
	env = append(env, trace.FromMap(job.Trace()).Environment()...)
	for _, p := range ports {
		env = append(env, p.variable()+"=/dev/fd/"+strconv.Itoa(p.fd))
	}
	return env
}

// connect makes the pipes and returns their other ends, which the command inherits.
func (p *process) connect() (theirs []*os.File, err error) {
	pipe := func(input bool) (our, their *os.File) {
		if err != nil {
			return nil, nil
		}
		var r, w *os.File
		if r, w, err = os.Pipe(); err != nil {
			err = fmt.Errorf("make a pipe: %w", err)
			return nil, nil
		}
		our, their = r, w
		if input {
			our, their = w, r
		}
		theirs = append(theirs, their)
		return our, their
	}
	our, their := pipe(false)
	p.stderr, p.cmd.Stderr, p.cmd.Stdout = our, their, their
	for _, port := range p.ports {
		our, their := pipe(port.input)
		p.pipes = append(p.pipes, our)
		p.give(port.fd, their)
	}
	return theirs, err
}

// give makes f the command's file descriptor fd.
func (p *process) give(fd int, f *os.File) {
	switch fd {
	case 0:
		p.cmd.Stdin = f
	case 1:
		p.cmd.Stdout = f
	default: // place numbers these one after the other
		p.cmd.ExtraFiles = append(p.cmd.ExtraFiles, f)
	}
}

// spawn starts the command from a goroutine that keeps its thread until the command has exited: the kernel
// takes the thread for the parent.
func (p *process) spawn() error {
	started := make(chan error, 1)
	go func() {
		defer close(p.exited)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.status = p.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return cannotRun(p.cmd.Args[0], err)
	}
	return nil
}

// signal sends a signal to the command's process group.
func (p *process) signal(s syscall.Signal) {
	_ = syscall.Kill(-p.cmd.Process.Pid, s) // an error means that the group is gone
}

// exitsWithin waits for the command to exit.
func (p *process) exitsWithin(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-p.exited:
		return true
	case <-t.C:
		return false
	}
}

// terminate sends SIGTERM, and SIGKILL after grace. It returns when the command has exited.
func (p *process) terminate(grace time.Duration) {
	p.signal(syscall.SIGTERM)
	if !p.exitsWithin(grace) {
		p.signal(syscall.SIGKILL)
		<-p.exited
	}
}

func (p *process) close() {
	closeAll(p.pipes)
	closeAll([]*os.File{p.stderr})
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // closing twice does no harm; a nil file returns an error
	}
}

// failure explains how the command failed; it is nil if it did not. brokenPipe is true if the command could
// not write to an output without a reader.
func (p *process) failure() (err error, brokenPipe bool) {
	var exit *exec.ExitError
	if p.status == nil || !errors.As(p.status, &exit) {
		return p.status, false
	}
	name, code := p.cmd.Args[0], exit.ExitCode()
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		s := ws.Signal()
		return fmt.Errorf("command `%s` was killed by signal %d (%s)", name, s, s), s == syscall.SIGPIPE
	}
	if p.exitOK.has(code) {
		return nil, false
	}
	// A shell exits with this code for a command killed by a signal.
	return exitError{name, code}, code == 128+int(syscall.SIGPIPE)
}

// A source reads what the command writes: to the end, or, once the command has exited and something
// else holds the pipe, until nothing arrives for a while.
type source struct {
	f      *os.File
	idle   time.Duration
	exited atomic.Bool
}

// Read implements io.Reader. A pipe closed on our side is at its end, too.
func (s *source) Read(b []byte) (int, error) {
	if s.exited.Load() {
		_ = s.f.SetReadDeadline(time.Now().Add(s.idle)) // fails on a closed pipe, as Read will
	}
	n, err := s.f.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, os.ErrClosed) {
		err = io.EOF
	}
	return n, err
}

// over records that the command has exited.
func (s *source) over() {
	s.exited.Store(true)
	_ = s.f.SetReadDeadline(time.Now().Add(s.idle))
}
