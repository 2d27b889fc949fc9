package shim

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/pkg/heap"
)

// Exit codes are those of package executor.
const (
	executorOK     = executor.ExitOK
	executorFailed = executor.ExitFailed
	badUsage       = executor.ExitBadUsage
)

// spareGrace is how much longer than the stop grace an executor waits before it abandons a stopped job: a
// shortGrace may follow.
const spareGrace = shortGrace + 3*time.Second

// FramingUsage, ExitOKUsage and StopGraceUsage explain the flags of the same names.
const (
	FramingUsage = "`FRAMING` of all ports, or PORT=FRAMING: lines, nul, length, jsonl or raw; separate several by " +
		"commas (environment: " + EnvFraming + ")"
	ExitOKUsage = "exit `CODES` besides 0 with which the command may end normally, such as 1 for grep; several with " +
		"commas (environment: " + EnvExitOK + ")"
	StopGraceUsage = "`time` from SIGTERM to SIGKILL when the flow was stopped"
)

// Main is the command dagyo-exec: it serves jobs as configured in the environment until SIGTERM or SIGINT has
// drained it, and returns an exit code.
func Main(args []string) int {
	if code, was := Init(); was {
		return code
	}
	defer heap.Settle()()
	c, err := parse(args, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return executorOK
	case err != nil:
		fmt.Fprintln(os.Stderr, "dagyo-exec:", err)
		return badUsage
	}
	config, err := executor.FromEnvironment()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return badUsage
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	if err := Run(context.Background(), config, c, signals); err != nil {
		fmt.Fprintln(os.Stderr, "dagyo-exec:", err)
		return executorFailed
	}
	return executorOK
}

// Run serves jobs with the command until drained, like [executor.Run].
func Run(ctx context.Context, config executor.Config, c Config, drain <-chan os.Signal) error {
	config.StopGrace = c.StopGrace + spareGrace
	return executor.Run(ctx, config, c.Program(), drain)
}

// parse reads the arguments, and finds the command.
func parse(args []string, help io.Writer) (Config, error) {
	flags := flag.NewFlagSet("dagyo-exec", flag.ContinueOnError)
	flags.SetOutput(help)
	flags.Usage = func() {
		fmt.Fprintln(help, "usage: dagyo-exec [FLAGS] -- COMMAND [ARG…]\n\n"+
			"Runs the command once for each job of a progdef. The command reads and writes the job's records.")
		flags.PrintDefaults()
	}
	var settings Settings
	flags.Func("framing", FramingUsage, func(s string) error {
		settings.Framing = append(settings.Framing, s)
		return nil
	})
	flags.Func("exit-ok", ExitOKUsage, func(s string) error {
		settings.ExitOK = append(settings.ExitOK, s)
		return nil
	})
	grace := flags.Duration("stop-grace", DefaultStopGrace, StopGraceUsage)
	if err := flags.Parse(args); err != nil {
		return Config{}, err
	}
	c, err := DefaultConfig(flags.Args(), settings)
	c.StopGrace = *grace
	return c, errors.Join(err, c.Validate())
}
