package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/heap"
)

// An Invocation is one call of the command, with all that it may touch of the world.
type Invocation struct {
	// Args are the arguments behind the command's name.
	Args []string
	In   io.Reader
	Out  io.Writer
	Err  io.Writer
	// Env looks up an environment variable; "" where it is not set.
	Env func(string) string
	// Signals delivers SIGINT and SIGTERM: a first one asks to end, a second one insists.
	Signals <-chan os.Signal
}

// Main runs the command as the process was called, and returns its exit code.
func Main() int {
	defer heap.Settle()()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	// A closed pipe is an error of the write: there may be a flow to cancel and processes to end.
	signal.Ignore(syscall.SIGPIPE)
	return Run(context.Background(), Invocation{
		Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv,
		Signals: signals,
	})
}

// Run runs the command and returns its exit code (see `dagyo help exit-codes`).
func Run(ctx context.Context, i Invocation) int {
	out := &stdout{w: i.Out}
	i.Out = out
	a := &app{Invocation: i}
	root := a.root()
	root.SetArgs(i.Args)
	root.SetIn(i.In)
	root.SetOut(i.Out)
	root.SetErr(i.Err)
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil && out.lost() == nil:
		return ExitOK
	case err == nil:
		err = out.lost()
	case !a.began:
		err = &exit{ExitUsage, err}
	}
	return a.fail(cmd, err)
}

// stdout is standard output. It keeps the first write error.
type stdout struct {
	w   io.Writer
	mu  sync.Mutex
	err error
}

// Write implements io.Writer.
func (s *stdout) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
	return n, err
}

// lost returns the first write error, unless the pipe is closed.
func (s *stdout) lost() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil || errors.Is(s.err, syscall.EPIPE) {
		return nil
	}
	return fmt.Errorf("cannot write standard output: %w", reasonOf(s.err))
}

// lost returns the first write error of standard output, unless it was reported.
func (a *app) lost() error {
	if s, ok := a.Out.(*stdout); ok && !a.reported {
		return s.lost()
	}
	return nil
}

// rawStdout is standard output without the wrapper.
func (a *app) rawStdout() io.Writer {
	if s, ok := a.Out.(*stdout); ok {
		return s.w
	}
	return a.Out
}

// app is a running invocation.
type app struct {
	Invocation
	// Global flags.
	server   string
	access   broker.Access
	output   string
	logLevel string

	// reported is true once lost output was reported.
	reported bool
	// began is true once the arguments were found right.
	began bool
	// explicit is true when the user has said where the server is.
	explicit bool
}

// fail says what went wrong, and returns the exit code that stands for it.
func (a *app) fail(cmd *cobra.Command, err error) int {
	code, told := codeOf(err)
	switch lost := a.lost(); {
	case !told:
		fmt.Fprintf(a.Err, "dagyo: %v\n", err)
	case lost != nil:
		fmt.Fprintf(a.Err, "dagyo: %v\n", lost)
	}
	if code == ExitUsage && !told {
		fmt.Fprintf(a.Err, "See `%s --help`.\n", cmd.CommandPath())
	}
	return code
}

// begin is called when a command's arguments were found right.
func (a *app) begin(cmd *cobra.Command, _ []string) error {
	if a.output != outputText && a.output != outputJSON {
		return fmt.Errorf("--output is %q: it must be %s or %s", a.output, outputText, outputJSON)
	}
	if _, err := a.level(""); err != nil {
		return err
	}
	a.explicit = cmd.Flags().Changed("server") || a.Env(envServer) != ""
	a.began = true
	return nil
}

// errInterrupted is the cause of a context that a signal has ended.
var errInterrupted = errors.New("interrupted")

// interrupts are the signals of one command, as channels that are closed.
type interrupts struct {
	first, second <-chan struct{}
}

// interrupts listens to the signals until stop is called.
func (a *app) interrupts() (in interrupts, stop func()) {
	first, second := make(chan struct{}), make(chan struct{})
	stopped, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for _, c := range []chan struct{}{first, second} {
			select {
			case <-a.Signals:
				close(c)
			case <-stopped:
				return
			}
		}
	}()
	return interrupts{first, second}, func() { close(stopped); <-done }
}

// untilInterrupt returns a context that the first signal ends.
func (a *app) untilInterrupt(ctx context.Context) (context.Context, func()) {
	in, stop := a.interrupts()
	ctx, end := until(ctx, in.first)
	return ctx, func() { end(); stop() }
}

// until returns a context that a signal ends, with errInterrupted.
func until(ctx context.Context, signal <-chan struct{}) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-signal:
			cancel(errInterrupted)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil); <-done }
}
