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
		Short:       "Serve the jobs of a progdef with any command",
		Long: `Serve the jobs of a progdef by running a command once for each, until SIGTERM has
drained it. The command reads records from standard input and writes them to
standard output; docs/progdefs.md says how they are framed, and where further
ports are. A command may end normally with other exit codes than 0: --exit-ok 1 for
"grep", which exits with 1 when no line matches. The spawner calls this and says all else in the environment:
DAGYO_QUEUE, DAGYO_JOBS and the others of docs/protocol.md.`,
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
	f.SetInterspersed(false) // flags behind the command's name are its own
	f.StringArrayVar(&settings.Framing, "framing", nil, shim.FramingUsage)
	f.StringArrayVar(&settings.ExitOK, "exit-ok", nil, shim.ExitOKUsage)
	f.DurationVar(&stopGrace, "stop-grace", shim.DefaultStopGrace, shim.StopGraceUsage)
	return cmd
}
