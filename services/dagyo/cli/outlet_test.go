package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
)

// A valve is a reader of our output that takes nothing until it is opened. Its reading is announced.
type valve struct {
	open    chan struct{}
	writing chan struct{} // receives when a write has begun

	mu   sync.Mutex
	text bytes.Buffer
}

func newValve() *valve {
	return &valve{open: make(chan struct{}), writing: make(chan struct{}, 100)}
}

func (v *valve) Write(b []byte) (int, error) {
	v.writing <- struct{}{}
	<-v.open
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.text.Write(b)
}

func (v *valve) String() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.text.String()
}

// ended waits for an outlet's goroutine.
func ended(o *outlet) { <-o.close() }

func TestSinksKeepTheOrderOfOneFile(t *testing.T) {
	var out bytes.Buffer
	stdout, stderr := sinks(&out, &out, nil)
	for i := range 100 {
		fmt.Fprintln(stdout, "out", i)
		fmt.Fprintln(stderr, "err", i)
	}
	ended(stdout.outlet)
	var want strings.Builder
	for i := range 100 {
		fmt.Fprintf(&want, "out %d\nerr %d\n", i, i)
	}
	if out.String() != want.String() {
		t.Errorf("wrote %s", out.String())
	}
}

func TestPipesOfOneFileShareAnOutlet(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	fd, err := syscall.Dup(int(w.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	again := os.NewFile(uintptr(fd), "again")
	defer again.Close()
	if a, b := sinks(w, again, nil); a.outlet != b.outlet {
		t.Error("the order of 2>&1 is lost")
	}
	if a, b := sinks(w, r, nil); a.outlet == b.outlet {
		t.Log("both ends of a pipe count as one file here")
	}
	if a, b := sinks(&bytes.Buffer{}, &bytes.Buffer{}, nil); a.outlet == b.outlet {
		t.Error("two files share an outlet")
	}
}

// A reader that takes nothing blocks neither standard error nor the display.
func TestBlockedOutputBlocksNothingElse(t *testing.T) {
	blocked, free := newValve(), newValve()
	close(free.open)
	stdout, stderr := sinks(blocked, free, nil)
	fmt.Fprint(stdout, "record\n")
	<-blocked.writing
	stderr.outlet.show(&screen{w: free}, []string{"status"})
	if _, err := stderr.Write([]byte("message\n")); err != nil {
		t.Error(err)
	}
	if err := stderr.flush(t.Context()); err != nil {
		t.Error(err)
	}
	if !strings.Contains(free.String(), "message\n") {
		t.Errorf("standard error has %q", free.String())
	}
	close(blocked.open)
	ended(stdout.outlet)
	ended(stderr.outlet)
	if blocked.String() != "record\n" {
		t.Errorf("standard output has %q", blocked.String())
	}
}

// What waits for a blocked reader is bounded. A signal ends the waiting, but not that of records.
func TestWritesWaitForRoomUntilASignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newValve()
		signal := make(chan struct{})
		stdout, _ := sinks(v, io.Discard, signal)
		end := stdout.patient()
		fill := func() (n int, err error) {
			for err == nil {
				_, err = stdout.Write(bytes.Repeat([]byte("x"), 1000))
				n += 1000
			}
			return n, err
		}
		done := make(chan error, 1)
		go func() {
			n, err := fill()
			if n > outletBuffer+2000 {
				err = fmt.Errorf("%d bytes wait", n)
			}
			done <- err
		}()
		close(signal)
		synctest.Wait() // the queue is full
		select {
		case err := <-done:
			t.Fatalf("the signal ends a patient write: %v", err)
		default:
		}
		end()
		if err := <-done; !errors.Is(err, errAbandoned) {
			t.Error(err)
		}
		if _, err := fill(); !errors.Is(err, errAbandoned) {
			t.Error(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errAbandoned)
		if err := stdout.flush(ctx); !errors.Is(err, errAbandoned) {
			t.Error(err)
		}
		close(v.open)
		ended(stdout.outlet)
	})
}

// Who writes through a sink learns at once how that went.
func TestWritesThroughASink(t *testing.T) {
	v, signal := newValve(), make(chan struct{})
	stdout, _ := sinks(v, io.Discard, signal)
	done := make(chan error, 1)
	write := func() {
		_, err := through{stdout}.Write([]byte("record\n"))
		done <- err
	}
	go write()
	<-v.writing
	close(v.open)
	if err := <-done; err != nil || v.String() != "record\n" {
		t.Errorf("%v, wrote %q", err, v.String())
	}
	ended(stdout.outlet)

	failing, _ := sinks(&failing{err: syscall.EPIPE}, io.Discard, nil)
	if _, err := (through{failing}).Write([]byte("record\n")); !errors.Is(err, syscall.EPIPE) {
		t.Error(err)
	}
	ended(failing.outlet)

	v = newValve()
	blocked, _ := sinks(v, io.Discard, signal)
	stdout = blocked
	go write()
	<-v.writing
	close(signal)
	if err := <-done; !errors.Is(err, errAbandoned) {
		t.Error(err)
	}
	close(v.open)
	ended(blocked.outlet)
}

// No command succeeds if what it printed is lost.
func TestErrorsOfWritesAreReported(t *testing.T) {
	closed, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	for _, line := range []string{
		"help", "help run", "ls --help", "exit-codes", "records", "progdef", "completion bash", "version", "version -o json",
		"schema flow", "conformance --list", "__complete v",
	} {
		for want, out := range map[string]io.Writer{
			"no space left on device": &failing{err: syscall.ENOSPC}, "file already closed": closed,
		} {
			var stderr bytes.Buffer
			code := Run(t.Context(), Invocation{
				Args: strings.Fields(line), In: strings.NewReader(""), Out: out, Err: &stderr, Env: func(string) string { return "" },
			})
			if want = "dagyo: cannot write standard output: " + want + "\n"; code != ExitFailed || !strings.HasSuffix(stderr.String(), want) {
				t.Errorf("dagyo %s: %d, %q; want %q", line, code, stderr.String(), want)
			}
		}
	}
}

func TestAReaderThatHasGoneIsNoError(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	var stderr bytes.Buffer
	code := Run(t.Context(), Invocation{
		Args: []string{"version"}, In: strings.NewReader(""), Out: w, Err: &stderr, Env: func(string) string { return "" },
	})
	if code != ExitOK || stderr.Len() > 0 {
		t.Errorf("%d, %s", code, stderr.String())
	}
}

// A terminal is a screen in memory: it knows what the status needs.
type terminal struct {
	lines []string
	row   int
	col   int
}

func (v *terminal) Write(b []byte) (int, error) {
	text := string(b)
	for len(text) > 0 {
		switch {
		case strings.HasPrefix(text, "\x1b["):
			i := strings.IndexAny(text, "AJK")
			v.escape(text[2:i], text[i])
			text = text[i+1:]
		case text[0] == '\n':
			v.row, v.col, text = v.row+1, 0, text[1:]
		case text[0] == '\r':
			v.col, text = 0, text[1:]
		default:
			v.put(text[:1])
			text = text[1:]
		}
	}
	return len(b), nil
}

func (v *terminal) escape(arg string, what byte) {
	switch what {
	case 'A':
		var n int
		_, _ = fmt.Sscan(arg, &n)
		v.row -= n
	case 'K':
		v.cut()
	case 'J':
		v.cut()
		v.lines = v.lines[:min(len(v.lines), v.row+1)]
	}
}

// cut clears the rest of the line.
func (v *terminal) cut() {
	if v.row < len(v.lines) {
		v.lines[v.row] = v.lines[v.row][:min(v.col, len(v.lines[v.row]))]
	}
}

func (v *terminal) put(c string) {
	for len(v.lines) <= v.row {
		v.lines = append(v.lines, "")
	}
	line := v.lines[v.row]
	line += strings.Repeat(" ", max(0, v.col-len(line)))
	v.lines[v.row] = line[:v.col] + c + line[min(v.col+1, len(line)):]
	v.col++
}

func (v *terminal) shows() string { return strings.TrimRight(strings.Join(v.lines, "|"), "|") }

// settles checks what the screen shows once all text of a sink is written.
func (v *terminal) settles(t *testing.T, s *sink, want string) {
	t.Helper()
	if err := s.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := v.shows(); got != want {
		t.Errorf("the screen shows %q, want %q", got, want)
	}
}

func TestStatusIsDrawnInPlace(t *testing.T) {
	var v terminal
	stdout, stderr := sinks(&v, &v, nil)
	on, o := &screen{w: &v}, stderr.outlet
	settled := func(want string) { t.Helper(); v.settles(t, stderr, want) }
	// A message behind each status: then the status is drawn.
	o.show(on, []string{"one", "a long line"})
	fmt.Fprintln(stderr, "1")
	settled("1|one|a long line")
	_, _ = v.Write([]byte("fl^C")) // typed by the user
	fmt.Fprintln(stderr, "cancelling")
	settled("1|cancelling|one|a long line")
	o.show(on, []string{"two", "short", "third"})
	fmt.Fprintln(stdout, "record")
	settled("1|cancelling|record|two|short|third")
	o.show(on, []string{"last"})
	fmt.Fprintln(stderr, "2")
	settled("1|cancelling|record|2|last")
	o.show(on, nil)
	ended(o)
	if got := v.shows(); got != "1|cancelling|record|2" {
		t.Errorf("at the end the screen shows %q", got)
	}
}

// Records without a newline stay on the screen: the status waits for the end of their line, messages begin another.
func TestStatusLeavesUnfinishedLines(t *testing.T) {
	var v terminal
	stderr, _ := sinks(&v, &v, nil)
	stdout := &sink{w: struct{ io.Writer }{&v}, outlet: stderr.outlet}
	on, o := &screen{w: &v}, stderr.outlet
	settled := func(want string) { t.Helper(); v.settles(t, stderr, want) }
	o.show(on, []string{"status"})
	fmt.Fprint(stdout, "a\n")
	settled("a|status")
	fmt.Fprint(stdout, "b")
	settled("a|b")
	o.show(on, []string{"another status"})
	fmt.Fprint(stdout, "c")
	settled("a|bc")
	fmt.Fprintln(stderr, "a message")
	settled("a|bc|a message|another status")
	o.show(on, nil)
	fmt.Fprint(stdout, "d")
	fmt.Fprintln(stderr, "the end")
	settled("a|bc|a message|d|the end")
	ended(o)
}

// What is drawn again is written over what is there: clearing it first would flicker.
func TestStatusDoesNotFlicker(t *testing.T) {
	var out bytes.Buffer
	s := &screen{w: &out}
	s.draw([]string{"a", "b"})
	out.Reset()
	s.draw([]string{"a", "c"})
	if got, want := out.String(), "\r\x1b[2Aa\x1b[K\nc\x1b[K\n\x1b[J"; got != want {
		t.Errorf("wrote %q, want %q", got, want)
	}
}

func TestStatusFitsTheScreen(t *testing.T) {
	lines := []string{strings.Repeat("x", 100), "b\nc", "日本語日本語", "d"}
	for size, want := range map[size]string{
		{200, 100}: lines[0] + "|b c|日本語日本語|d",
		{11, 4}:    "xxxxxxxxx…|b c|日本語日…",
		{3, 2}:     "x…",
		{80, 1}:    strings.Repeat("x", 78) + "…",
	} {
		if got := strings.Join(size.fit(lines), "|"); got != want {
			t.Errorf("%v: %q, want %q", size, got, want)
		}
	}
}

// A signal that nobody listens to ends the command, as while a document is read from a terminal.
func TestSignalsWhileADocumentIsRead(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGTERM
	code := Run(t.Context(), Invocation{
		Args: []string{"run", "-"}, In: r, Out: io.Discard, Err: io.Discard, Env: func(string) string { return "" },
		Signals: signals,
	})
	if code != ExitInterrupted {
		t.Errorf("the code is %d", code)
	}
	w.Close() // lets the reading goroutine end
}

// A blocked reader keeps no command: a signal ends it within a bounded time.
func TestSignalsWhileStandardOutputIsBlocked(t *testing.T) {
	v, signals := newValve(), make(chan os.Signal, 1)
	code := make(chan int, 1)
	go func() {
		code <- Run(t.Context(), Invocation{
			Args: []string{"version"}, In: strings.NewReader(""), Out: v, Err: io.Discard,
			Env: func(string) string { return "" }, Signals: signals,
		})
	}()
	<-v.writing
	signals <- syscall.SIGHUP
	if got := <-code; got != ExitInterrupted {
		t.Errorf("the code is %d", got)
	}
	close(v.open)
}

// Signals that come before the first one has had its effect count as one.
func TestSignalsTogetherAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals := make(chan os.Signal)
		a := &app{desk: newDesk(signals)}
		a.desk.start()
		defer a.desk.stop()
		in, stop := a.interrupts()
		defer stop()
		in.together(true)
		for range 3 {
			signals <- syscall.SIGTERM
		}
		<-in.first
		synctest.Wait() // all three are handled
		in.together(false)
		select {
		case <-in.second:
			t.Error("three signals at once count as two")
		default:
		}
		signals <- syscall.SIGTERM
		<-in.second
	})
}
