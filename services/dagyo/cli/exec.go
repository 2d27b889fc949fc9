package cli

import (
	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/executor"
	"github.com/dagyo/dagyo/executor/shim"
)

func (a *app) execCommand() *cobra.Command {
	var framing []string
	var settings shim.Config
	cmd := &cobra.Command{
		Use: "exec [flags] -- COMMAND [ARG…]", GroupID: groupServices,
		Annotations: map[string]string{listens: "yes"},
		Short:       "Serve the jobs of a progdef with any command",
		Long: `Serve the jobs of a progdef by running a command once for each, until SIGTERM has
drained it. The command reads records from standard input and writes them to
standard output; docs/progdefs.md says how they are framed, and where further
ports are. The spawner calls this and says all else in the environment:
DAGYO_QUEUE, DAGYO_JOBS and the others of docs/protocol.md.`,
		Example: `  "command": ["dagyo", "exec", "--", "jq", "--compact-output", "--unbuffered", ".name"]`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if code, was := shim.Init(); was {
				return told(code)
			}
			c, err := shim.DefaultConfig(args, framing...)
			if err != nil {
				return usage(err)
			}
			c.StopGrace = settings.StopGrace
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
	f.StringArrayVar(&framing, "framing", nil, shim.FramingUsage)
	f.DurationVar(&settings.StopGrace, "stop-grace", shim.DefaultStopGrace, shim.StopGraceUsage)
	return cmd
}
