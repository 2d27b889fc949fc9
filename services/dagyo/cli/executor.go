package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/executor/std"
	"github.com/dagyo/dagyo/services/spawner/process"
)

func (a *app) executorCommand() *cobra.Command {
	names := standardNames()
	return &cobra.Command{
		Use: "executor NAME", GroupID: groupServices,
		Annotations: map[string]string{listens: "yes"},
		Short:       "Run the jobs of a standard progdef",
		Long: `Run the jobs of a standard progdef. The spawner starts this command and sets
DAGYO_QUEUE, DAGYO_JOBS and the other environment variables of docs/protocol.md.
SIGTERM drains the executor: it finishes its jobs and exits.`,
		Args: cobra.ExactArgs(1), ValidArgs: names,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, ok := std.Find(args[0])
			if !ok {
				return usage(fmt.Errorf("standard progdef %q not found; the standard progdefs are %v", args[0], names))
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

// standardNames returns the names of the standard progdefs.
func standardNames() (names []string) {
	for _, s := range std.Standard() {
		names = append(names, s.Name)
	}
	return names
}

func (a *app) superviseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "supervise DIR", Hidden: true, GroupID: groupServices,
		Annotations: map[string]string{listens: "yes"},
		Short:       "Supervise one executor; the spawner starts this command",
		Args:        cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if code := process.Supervise(args[0]); code != 0 {
				return told(code)
			}
			return nil
		},
	}
}
