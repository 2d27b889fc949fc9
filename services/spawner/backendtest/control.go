package backendtest

import (
	"bufio"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long the suite waits for something before it fails. It is far longer than anything takes even on a
// busy machine.
const patience = time.Minute

// A Control is the test's side of the programs' connections. Close ends all programs.
type Control struct {
	listener net.Listener
	restarts bool
	serving  sync.WaitGroup

	mu       sync.Mutex
	changed  chan struct{} // closed and renewed with every hello
	programs map[string][]*Running
	conns    []net.Conn
}

// NewControl listens for programs until the end of the test. If the listener is nil, it uses a free port of the
// loopback interface. If programs are restarted, only the first one of a name counts.
func NewControl(t *testing.T, l net.Listener, restarts bool) *Control {
	t.Helper()
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	c := &Control{listener: l, restarts: restarts, changed: make(chan struct{}), programs: map[string][]*Running{}}
	c.serving.Go(c.accept)
	t.Cleanup(c.close)
	return c
}

// Addr is the address on which the control listens.
func (c *Control) Addr() string { return c.listener.Addr().String() }

func (c *Control) accept() {
	for {
		conn, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.mu.Lock()
		c.conns = append(c.conns, conn)
		c.mu.Unlock()
		c.serving.Go(func() { c.serve(conn) })
	}
}

func (c *Control) serve(conn net.Conn) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	if !lines.Scan() {
		return
	}
	executor, ok := strings.CutPrefix(lines.Text(), "hello ")
	if !ok {
		return
	}
	// The buffer fits everything that a program sends in a test.
	p := &Running{
		Executor: executor,
		conn:     conn,
		answers:  make(chan string, 64),
		sigterms: make(chan struct{}, 64),
		ended:    make(chan struct{}),
	}
	defer close(p.ended)
	if !c.add(p) {
		fmt.Fprintln(conn, "taken")
		for lines.Scan() { // until it exits
		}
		return
	}
	for lines.Scan() {
		if lines.Text() == "sigterm" {
			p.sigterms <- struct{}{}
		} else {
			p.answers <- lines.Text()
		}
	}
}

// add reports whether the program counts.
func (c *Control) add(p *Running) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.restarts && len(c.programs[p.Executor]) > 0 {
		return false
	}
	c.programs[p.Executor] = append(c.programs[p.Executor], p)
	close(c.changed)
	c.changed = make(chan struct{})
	return true
}

func (c *Control) close() {
	_ = c.listener.Close()
	c.mu.Lock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.mu.Unlock()
	c.serving.Wait()
}

// Program waits until the executor's program has sent hello.
func (c *Control) Program(t *testing.T, executor string) *Running {
	t.Helper()
	late := time.After(patience)
	for {
		c.mu.Lock()
		programs, changed := c.programs[executor], c.changed
		c.mu.Unlock()
		if len(programs) > 0 {
			return programs[0]
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("the program of executor %q never sent hello", executor)
		}
	}
}

// Starts is the number of programs that have sent hello for the executor.
func (c *Control) Starts(executor string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.programs[executor])
}

// A Running is a program that has sent hello.
type Running struct {
	Executor string
	conn     net.Conn
	answers  chan string
	sigterms chan struct{}
	ended    chan struct{}
}

// Tell sends the program a command (see [Program]) without waiting.
func (p *Running) Tell(t *testing.T, format string, args ...any) {
	t.Helper()
	if _, err := fmt.Fprintf(p.conn, format+"\n", args...); err != nil {
		t.Fatalf("telling executor %q: %v", p.Executor, err)
	}
}

// Ask sends the program a command and returns its answer.
func (p *Running) Ask(t *testing.T, format string, args ...any) string {
	t.Helper()
	p.Tell(t, format, args...)
	line := await(t, p.answers, "an answer of executor "+p.Executor)
	answer, err := strconv.Unquote(strings.TrimPrefix(line, "ok "))
	if err != nil {
		t.Fatalf("executor %q answered %q", p.Executor, line)
	}
	return answer
}

// AwaitSigterm waits until the program has received SIGTERM.
func (p *Running) AwaitSigterm(t *testing.T) {
	t.Helper()
	await(t, p.sigterms, "SIGTERM at executor "+p.Executor)
}

// AwaitEnd waits until the program has exited.
func (p *Running) AwaitEnd(t *testing.T) {
	t.Helper()
	await(t, p.ended, "the end of executor "+p.Executor)
}

// await receives from ch. A closed channel gives the zero value.
func await[T any](t *testing.T, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("timed out after %s waiting for %s", patience, what)
		panic("not reached")
	}
}
