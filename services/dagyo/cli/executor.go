package cli

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/executor/std"
	"github.com/dagyo/dagyo/services/spawner/process"
)

func (a *app) executorCommand() *cobra.Command {
	var names []string
	for _, s := range std.Standard() {
		names = append(names, s.Name)
	}
	return &cobra.Command{
		Use: "executor NAME", GroupID: groupServices,
		Annotations: map[string]string{listens: "yes"},
		Short:       "Serve the jobs of a standard progdef",
		Long: `Serve the jobs of a standard progdef, until SIGTERM has drained it. The spawner calls
this and says all else in the environment: DAGYO_QUEUE, DAGYO_JOBS and the others of
docs/protocol.md.`,
		Args: cobra.ExactArgs(1), ValidArgs: names,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, ok := std.Find(args[0])
			if !ok {
				return usage(fmt.Errorf("there is no standard progdef %q; there are %v", args[0], names))
			}
			c, err := executor.FromEnvironment()
			if err != nil {
				return usage(err)
			}
			signals, stop := a.signals()
			defer stop()
			return executor.Run(cmd.Context(), c, s.Program, signals)
		},
	}
}

func (a *app) superviseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "supervise DIR", Hidden: true, GroupID: groupServices,
		Annotations: map[string]string{listens: "yes"},
		Short:       "Look after one executor; the spawner calls it",
		Args:        cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			if pid, err := strconv.Atoi(a.Env(envLeash)); err == nil {
				go leash(ctx, pid)
			}
			if code := process.Supervise(args[0]); code != 0 {
				return told(code)
			}
			return nil
		},
	}
}

// leash ends the executor of a Dagyo for the time being when that has died: nobody else would.
func leash(ctx context.Context, parent int) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for os.Getppid() == parent {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGQUIT); err != nil {
		fmt.Fprintln(os.Stderr, "dagyo supervise:", err)
	}
}
