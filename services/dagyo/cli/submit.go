package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/dagyo/client"
)

func (a *app) submitCommand() *cobra.Command {
	var o runOptions
	var wait bool
	cmd := &cobra.Command{
		Use: "submit FLOW", GroupID: groupFlows,
		Short: "Submit a flow and print its id",
		Long: `Submit the flow document in the file FLOW (JSON or YAML; - is standard input), and
print the flow's id once the submission is stored. Whether the flow is right, and
how it ends, tell "dagyo show" and "dagyo watch"; --wait waits for it, and exits as
the flow ends.

Submitting a flow again under the same --id is the same submission.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.submit(cmd.Context(), args[0], o, wait)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.id, "id", "", "the flow's id (default: made of the file's name)")
	f.BoolVar(&wait, "wait", false, "wait for the verdict; the outputs are left to others")
	o.progressFlag(cmd)
	return cmd
}

func (a *app) submit(ctx context.Context, path string, o runOptions, wait bool) error {
	id, err := flowID(o.id, path)
	if err != nil {
		return err
	}
	document, err := a.readDocument(path)
	var problems problem.List
	switch {
	case errors.As(err, &problems):
		return a.tellRefused("flow", path, problems)
	case err != nil:
		return err
	}
	d, err := a.newDisplay(o.progress, id)
	if err != nil {
		return err
	}
	in, stop := a.interrupts()
	defer stop()
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if !wait {
		_, err = c.Submit(ctx, id, document)
		return a.submitted(id, err)
	}
	f := &follower{app: a, client: c, flow: id, display: d}
	return a.submitAndFollow(ctx, f, document, in)
}

func (a *app) submitted(id string, err error) error {
	switch {
	case err != nil:
		return err
	case a.json():
		return a.printJSON(map[string]string{"flow": id})
	}
	_, err = fmt.Fprintln(a.Out, id)
	return err
}

// flowIDs completes flow ids.
func (a *app) flowIDs(
	cmd *cobra.Command, args []string, _ string,
) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var ids []cobra.Completion
	_ = a.complete(cmd.Context(), func(ctx context.Context, c *client.Client) error {
		for page, err := range c.Flows(ctx, contract.FlowQuery{Limit: completions}) {
			if err != nil {
				return err
			}
			for _, l := range page.Flows {
				ids = append(ids, l.Flow)
			}
			if len(ids) >= completions {
				return nil
			}
		}
		return nil
	})
	return ids, cobra.ShellCompDirectiveNoFileComp
}
