package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/heap"
	"github.com/dagyo/dagyo/services/dagyo/docfile"
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
	// Signals delivers SIGINT, SIGTERM and SIGHUP: a first one asks to end, a second one insists.
	Signals <-chan os.Signal
}

// Main runs the command as the process was called, and returns its exit code.
func Main() int {
	defer heap.Settle()()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, endSignals()...) // until the process exits: a late signal must not change its code
	// A closed pipe is an error of the write: there may be a flow to cancel and processes to end. SIGPIPE is
	// caught, not ignored: the commands that we start would inherit that.
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	return Run(context.Background(), Invocation{
		Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv,
		Signals: signals,
	})
}

// endSignals are the signals that ask a command to end. SIGHUP is not one of them under nohup.
func endSignals() []os.Signal {
	all := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		all = append(all, syscall.SIGHUP)
	}
	return all
}

// Run runs the command and returns its exit code (see `dagyo help exit-codes`). It returns although the command
// does not, when a signal came that nobody listens to, or the reader of standard output or standard error takes
// nothing: then goroutines are left.
func Run(ctx context.Context, i Invocation) int {
	a := &app{Invocation: i, desk: newDesk(i.Signals)}
	defer a.desk.stop()
	a.stdout, a.stderr = sinks(i.Out, i.Err, a.desk.first)
	a.Out, a.Err = a.stdout, a.stderr
	defer a.stdout.outlet.close()
	defer a.stderr.outlet.close()
	done := make(chan int, 1)
	go func() { done <- a.execute(ctx) }()
	select {
	case code := <-done:
		code = a.finish(code)
		for _, s := range []*sink{a.stdout, a.stderr} {
			if s.idle() {
				<-s.outlet.close()
			}
		}
		return code
	case <-a.desk.alone:
		return ExitInterrupted
	}
}

// execute runs the command.
func (a *app) execute(ctx context.Context) int {
	root := a.root()
	root.SetArgs(a.Args)
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return ExitOK
	}
	if !a.began {
		err = &exit{ExitUsage, err}
	}
	return a.fail(cmd, err)
}

// leaveWait is how long the readers of our output may take for what is left after a signal.
const leaveWait = time.Second

// finish writes what is left of the output, and returns the exit code. After a signal it does not wait for a reader
// that takes nothing.
func (a *app) finish(code int) int {
	a.desk.start()
	err := a.flush(a.stdout)
	switch {
	case errors.Is(err, errAbandoned):
		if code == ExitOK {
			fmt.Fprintf(a.Err, "dagyo: not all of standard output was written: %v\n", err)
		}
		code = orCode(code, ExitInterrupted)
	case err != nil && !errors.Is(err, syscall.EPIPE): // a reader that has gone has all that it wants
		if !a.reported {
			fmt.Fprintf(a.Err, "dagyo: %v\n", unwritten(err))
		}
		code = orCode(code, ExitFailed)
	}
	if errors.Is(a.flush(a.stderr), errAbandoned) {
		code = orCode(code, ExitInterrupted)
	}
	return code
}

// unwritten is an error of standard output.
func unwritten(err error) error {
	return fmt.Errorf("cannot write standard output: %w", reasonOf(err))
}

// orCode is the other code where the first is that of success.
func orCode(code, other int) int {
	if code == ExitOK {
		return other
	}
	return code
}

// flush waits until all of a sink's text is written; after a signal for leaveWait at most.
func (a *app) flush(s *sink) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	left := make(chan struct{})
	go func() {
		defer close(left)
		select {
		case <-a.desk.first:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(leaveWait):
			cancel(errAbandoned)
		case <-ctx.Done():
		}
	}()
	err := s.flush(ctx)
	cancel(nil)
	<-left
	return err
}

// app is a running invocation.
type app struct {
	Invocation
	desk           *desk
	stdout, stderr *sink // Out and Err
	// Global flags.
	server   string
	access   broker.Access
	output   string
	logLevel string

	// document is the one document that the command is about, as far as it has one.
	document docfile.Document

	// reported is true once an error was printed; lost output needs no other one.
	reported bool
	// began is true once the arguments were found right.
	began bool
	// explicit is true when the user has said where the server is.
	explicit bool
}

// fail says what went wrong, and returns the exit code that stands for it.
func (a *app) fail(cmd *cobra.Command, err error) int {
	code, told := codeOf(err)
	if !told {
		a.reported = true
		fmt.Fprintf(a.Err, "dagyo: %v\n", err)
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
	if cmd.Annotations[listens] != "" {
		a.desk.listeners.Add(1)
	}
	a.desk.start()
	return nil
}
