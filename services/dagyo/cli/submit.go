package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/dagyo/report"
)

func (a *app) submitCommand() *cobra.Command {
	var o runOptions
	var wait bool
	cmd := &cobra.Command{
		Use: "submit FLOW", GroupID: groupFlows,
		Short: "Submit a flow and print its id",
		Long: `Submit the flow document in the file FLOW (JSON or YAML; - is standard input),
and print the flow's id when the validator has accepted the flow. Use "dagyo
attach" to feed its inputs and read its outputs, and "dagyo show" or "dagyo
watch" to follow its progress. With --wait, submit waits for the verdict and
exits with its code.

If no validator answers, the submission is stored and validated later.

The same document under the same --id is the same submission. A different
document under an id in use is rejected; the flow with that id is not affected.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.submit(cmd.Context(), args[0], o, wait)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.id, "id", "", "id of the flow (default: derived from the file name)")
	f.BoolVar(&wait, "wait", false, "wait for the verdict; the outputs are not read")
	o.progressFlag(cmd)
	return cmd
}

func (a *app) submit(ctx context.Context, path string, o runOptions, wait bool) error {
	id, err := flowID(o.id, path)
	if err != nil {
		return err
	}
	document, err := a.flowDocument(path, id)
	if err != nil {
		return err
	}
	if !wait {
		return a.with(ctx, func(ctx context.Context, c *client.Client) error {
			return a.submitOnly(ctx, c, id, document)
		})
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
	f := &follower{app: a, client: c, flow: id, display: d, chosen: o.id != ""}
	return a.submitAndFollow(ctx, f, document, in)
}

// submitOnly submits a flow and prints its id once it is validated.
func (a *app) submitOnly(ctx context.Context, c *client.Client, id string, document []byte) error {
	seq, err := c.Submit(ctx, id, document)
	if err != nil {
		return err
	}
	before, err := c.Judged(ctx, id, seq, digest(document))
	var problems problem.List
	switch {
	case errors.As(err, &problems):
		return a.tellVerdict(contract.Event{
			Type: contract.TypeFlowRejected, Subject: id, Data: &contract.FlowRejected{Problems: problems},
		})
	case errors.Is(err, client.ErrNoAnswer):
		fmt.Fprintf(a.Err, "flow %s is submitted, but no validator has answered yet (see `dagyo health`)\n", id)
	case err != nil:
		return err
	}
	if before {
		if past, err := c.Before(ctx, id, digest(document)); err == nil && past != nil {
			fmt.Fprintf(a.Err, "flow %s was already submitted and has ended: %s\n", id, report.State(past.Verdict))
			document = nil // no inputs to feed, no outputs to read
		}
	}
	return a.submitted(id, document)
}

// A submittedLine is the output of submit with --output json.
type submittedLine struct {
	Flow string `json:"flow"`
	// Inputs are the inputs to feed, Outputs the outputs to read.
	Inputs  []string `json:"inputs,omitempty"`
	Outputs []string `json:"outputs,omitempty"`
}

// submitted prints the id of a flow, and which inputs to feed and outputs to read.
func (a *app) submitted(id string, document []byte) error {
	own, _ := namesIn(document)
	line := submittedLine{id, own.inputs, own.outputs}
	if a.json() {
		return a.printJSON(line)
	}
	if _, err := fmt.Fprintln(a.Out, id); err != nil {
		return err
	}
	if len(line.Inputs)+len(line.Outputs) > 0 {
		fmt.Fprintf(a.Err, "flow %s waits for a client that %s:\n  %s\n", id, line.does(), line.attach())
	}
	return nil
}

// does returns what a client has to do, in words.
func (l submittedLine) does() string {
	var out []string
	if len(l.Inputs) > 0 {
		out = append(out, "feeds "+strings.Join(l.Inputs, ", "))
	}
	if len(l.Outputs) > 0 {
		out = append(out, "reads "+strings.Join(l.Outputs, ", "))
	}
	return strings.Join(out, " and ")
}

// attach returns the command that does it.
func (l submittedLine) attach() string {
	var b strings.Builder
	fmt.Fprintf(&b, "dagyo attach %s", l.Flow)
	for _, name := range l.Inputs {
		fmt.Fprintf(&b, " --input %s=FILE", name)
	}
	return b.String()
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
