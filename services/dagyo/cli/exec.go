package cli

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/executor/shim"
)

func (a *app) execCommand() *cobra.Command {
	var settings shim.Settings
	var stopGrace time.Duration
	cmd := &cobra.Command{
		Use: "exec [flags] -- COMMAND [ARG…]", GroupID: groupServices,
		Annotations: map[string]string{listens: "yes"},
		Short:       "Run the jobs of a progdef with any command",
		Long: `Run a command once for each job of a progdef. The command reads records from
standard input and writes records to standard output; docs/progdefs.md
describes their framing and additional ports. --exit-ok lists exit codes other
than 0 that mean success, such as --exit-ok 1 for "grep", which exits with 1 if
no line matches. What the command writes to standard error is in the logs of the
flow: dagyo logs FLOW.

The spawner starts this command and sets DAGYO_QUEUE, DAGYO_JOBS and the other
environment variables of docs/protocol.md. SIGTERM drains the executor: it
finishes its jobs and exits.`,
		Example: `  "command": ["dagyo", "exec", "--", "jq", "--compact-output", "--unbuffered", ".name"]`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if code, was := shim.Init(); was {
				return told(code)
			}
			c, err := shim.DefaultConfig(args, settings)
			if err != nil {
				return usage(err)
			}
			c.StopGrace = stopGrace
			if err := c.Validate(); err != nil {
				return usage(err)
			}
			config, err := executor.FromEnvironment()
			if err != nil {
				return usage(err)
			}
			signals, stop := a.signals()
			defer stop()
			return shim.Run(cmd.Context(), config, c, signals)
		},
	}
	f := cmd.Flags()
	f.SetInterspersed(false) // flags after the command's name belong to the command
	f.StringArrayVar(&settings.Framing, "framing", nil, shim.FramingUsage)
	f.StringArrayVar(&settings.ExitOK, "exit-ok", nil, shim.ExitOKUsage)
	f.DurationVar(&stopGrace, "stop-grace", shim.DefaultStopGrace, shim.StopGraceUsage)
	return cmd
}
