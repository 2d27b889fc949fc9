package harness

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/broker"
)

// envService holds the configuration of a service in a separate process: a setup as JSON.
const envService = "DAGYO_TEST_SERVICE"

type setup struct {
	Options Options
	Dir     string
	URL     string
}

// serveAlone serves one service until SIGTERM.
func serveAlone(name string) int {
	var s setup
	if err := json.Unmarshal([]byte(os.Getenv(envService)), &s); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	os.Unsetenv(envService) // not for executors
	log := zerolog.New(os.Stderr)
	for _, c := range s.Options.common() {
		c.Log = log
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	link, err := broker.Connect(ctx, broker.Options{URL: s.URL, Name: name})
	if err == nil {
		defer link.Close()
		err = serve(ctx, name, link, s.Options, s.Dir, s.URL)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// A Process is one replica of a service in a separate process.
type Process struct {
	Name string
	cmd  *exec.Cmd
	// ended is closed when the process has exited.
	ended chan struct{}

	mu    sync.Mutex
	said  strings.Builder
	leads time.Time // when it last became the leader
	more  chan struct{}
}

// StartProcess starts another replica of a service in a separate process.
func (s *Stack) StartProcess(t testing.TB, name string) *Process {
	t.Helper()
	url := s.Server.ClientURL()
	if s.options.Through != nil {
		url = s.options.Through(url)
	}
	p, err := startProcess(name, setup{s.options, string(s.Dir), url})
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes[name] = append(s.processes[name], p)
	return p
}

func startProcess(name string, in setup) (*Process, error) {
	config, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	p := &Process{Name: name, cmd: exec.Command(self, "service", name), ended: make(chan struct{}), more: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), envSelf+"=1", envService+"="+string(config))
	out, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.read(out)
	return p, nil
}

// read reads the log of the process, and waits until it exits.
func (p *Process) read(out io.Reader) {
	defer close(p.ended)
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		p.mu.Lock()
		p.said.WriteString(line + "\n")
		if strings.Contains(line, `"message":"leading"`) {
			p.leads = time.Now()
		}
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
		if os.Getenv("DAGYO_TEST_LOG") != "" {
			fmt.Fprintln(os.Stderr, p.cmd.Process.Pid, line)
		}
	}
	_ = p.cmd.Wait()
}

// Said returns the log of the process.
func (p *Process) Said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

// AwaitSaid waits until the log of the process contains a text.
func (p *Process) AwaitSaid(t testing.TB, text string) {
	t.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	for {
		p.mu.Lock()
		found, more := strings.Contains(p.said.String(), text), p.more
		p.mu.Unlock()
		if found {
			return
		}
		select {
		case <-more:
		case <-deadline.C:
			t.Fatalf("%s did not log %q within %v; its log:\n%s", p.Name, text, Patience, p.Said())
		}
	}
}

// Alive reports whether the process is running.
func (p *Process) Alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Pause stops the process until Resume, as if its machine had stalled.
func (p *Process) Pause(t testing.TB) { p.signal(t, syscall.SIGSTOP) }

// Resume resumes a paused process.
func (p *Process) Resume(t testing.TB) { p.signal(t, syscall.SIGCONT) }

// PauseFor pauses the process for a time.
func (p *Process) PauseFor(t testing.TB, d time.Duration) {
	t.Helper()
	p.Pause(t)
	<-time.After(d)
	p.Resume(t)
}

func (p *Process) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%s: %v; it said:\n%s", p.Name, err, p.Said())
	}
}

func (p *Process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

func (s *Stack) killProcesses(name string) {
	s.mu.Lock()
	processes := s.processes[name]
	s.processes[name] = nil
	s.mu.Unlock()
	for _, p := range processes {
		p.kill()
	}
}

// Processes returns the processes of a service.
func (s *Stack) Processes(name string) []*Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*Process{}, s.processes[name]...)
}

// Leader returns the process of a service that became the leader last, and waits until there is one.
func (s *Stack) Leader(t testing.TB, name string) *Process {
	t.Helper()
	deadline := time.NewTimer(Patience)
	defer deadline.Stop()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for {
		var leader *Process
		var since time.Time
		for _, p := range s.Processes(name) {
			p.mu.Lock()
			if p.leads.After(since) {
				leader, since = p, p.leads
			}
			p.mu.Unlock()
		}
		if leader != nil {
			return leader
		}
		select {
		case <-look.C:
		case <-deadline.C:
			t.Fatalf("service %s has no leader", name)
		}
	}
}
