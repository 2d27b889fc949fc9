package cli

import (
	"cmp"
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
	"github.com/dagyo/dagyo/pkg/trace"
	"github.com/dagyo/dagyo/services/dagyo/docfile"
)

// An Invocation is one call of the command, with everything of the process that it uses.
type Invocation struct {
	// Args are the arguments after the command's name.
	Args []string
	In   io.Reader
	Out  io.Writer
	Err  io.Writer
	// Env looks up an environment variable; "" if it is not set.
	Env func(string) string
	// Signals delivers SIGINT, SIGTERM and SIGHUP: the first one stops the command, the second one stops it at once.
	Signals <-chan os.Signal
}

// Main runs the command with the arguments of the process, and returns its exit code.
func Main() int {
	defer heap.Settle()()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, endSignals()...) // until the process exits: a late signal must not change its code
	// Report a closed pipe as a write error: there may be a flow to cancel and processes to stop. SIGPIPE is caught,
	// not ignored: commands that are started would inherit that.
	pipes := make(chan os.Signal, 1)
	signal.Notify(pipes, syscall.SIGPIPE)
	return Run(context.Background(), Invocation{
		Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Env: os.Getenv,
		Signals: signals,
	})
}

// endSignals are the signals that stop a command; under nohup, SIGHUP is not one of them.
func endSignals() []os.Signal {
	all := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		all = append(all, syscall.SIGHUP)
	}
	return all
}

// Run runs the command and returns its exit code (see `dagyo help exit-codes`). If a signal arrives that the command
// does not handle, or if the reader of standard output or standard error is blocked, Run returns before the command
// does, and leaves goroutines behind.
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
	var misuse error
	helpOfGroups(root, func(err error) { misuse = err })
	cmd, err := root.ExecuteContextC(trace.NewContext(ctx, trace.FromEnvironment(a.Env)))
	if err = cmp.Or(err, misuse); err == nil {
		return ExitOK
	}
	if !a.began {
		err = &exit{ExitUsage, err}
	}
	return a.fail(cmd, err)
}

// leaveWait bounds writing the rest of the output after a signal.
const leaveWait = time.Second

// finish writes the rest of the output, and returns the exit code. After a signal it does not wait for a blocked
// reader.
func (a *app) finish(code int) int {
	a.desk.start()
	err := a.flush(a.stdout)
	switch {
	case errors.Is(err, errAbandoned):
		if code == ExitOK {
			fmt.Fprintf(a.Err, "dagyo: standard output is incomplete: %v\n", err)
		}
		code = cmp.Or(code, ExitInterrupted)
	case err != nil && !errors.Is(err, syscall.EPIPE): // a reader that closed the pipe needs no more
		if !a.reported {
			fmt.Fprintf(a.Err, "dagyo: %v\n", unwritten(err))
		}
		code = cmp.Or(code, ExitFailed)
	}
	if errors.Is(a.flush(a.stderr), errAbandoned) {
		code = cmp.Or(code, ExitInterrupted)
	}
	return code
}

// unwritten returns an error of writing standard output.
func unwritten(err error) error {
	return fmt.Errorf("cannot write standard output: %w", reasonOf(err))
}

// flush waits until all text of a sink is written; after a signal, at most leaveWait.
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
	server string
	access broker.Access
	user   string
	output string
	// policy is the path of the policy, "" for none.
	policy   string
	logLevel string

	// document is the document of the command, if it has one.
	document docfile.Document

	// reported is true once an error was printed; lost output is then not reported again.
	reported bool
	// began is true once the arguments are validated.
	began bool
	// explicit is true if the user set the address of the server, or named a context.
	explicit bool
	// context is the name of the context to use, "" for the selected one.
	context  string
	connects bool
	// temporary is true once the command has started a Dagyo of its own.
	temporary bool
}

// fail prints an error, and returns its exit code.
func (a *app) fail(cmd *cobra.Command, err error) int {
	if failed := a.stdout.failure(); failed != nil && errors.Is(err, failed) {
		return ExitOK // finish reports it
	}
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

// begin is called when a command's arguments are valid.
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
