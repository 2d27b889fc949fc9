package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/services/dagyo/report"
)

func (a *app) logsCommand() *cobra.Command {
	var q client.LogQuery
	cmd := &cobra.Command{
		Use: "logs FLOW-ID [NODE]", GroupID: groupFlows,
		Short: "Print what the jobs of a flow log",
		Long: `Print the lines that are kept of what the jobs of a flow have logged, or the job
of one node: with the logger of their SDK, or on the standard error of a command.
With --follow, print new lines as they arrive, until the flow has ended.

What is kept is limited: the last lines of each job, and of all jobs together. A
job that logs too much at a time loses lines, which a line in their place counts.
With --output json, each line is a JSON object.`,
		Args:              cobra.RangeArgs(1, 2),
		ValidArgsFunction: a.flowIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flowName(args[0]); err != nil {
				return err
			}
			if len(args) == 2 {
				q.Node = args[1]
				if !document.ValidName(q.Node) {
					return usage(errors.New(document.Quote(q.Node) + " is not a valid name of a node"))
				}
			}
			return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				logs, err := c.Logs(ctx, args[0], q)
				if err != nil {
					return err
				}
				defer logs.Close()
				return logs.Each(ctx, a.printLogLine)
			})
		},
	}
	cmd.Flags().BoolVarP(&q.Follow, "follow", "f", false, "print new lines too, until the flow has ended")
	return cmd
}

func (a *app) printLogLine(l client.LogLine) error {
	if a.json() {
		return a.printJSON(l)
	}
	_, err := fmt.Fprintln(a.Out, report.LogLine(l))
	return err
}
