package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
)

func (a *app) attachCommand() *cobra.Command {
	o := runOptions{files: newFileOptions()}
	cmd := &cobra.Command{
		Use: "attach FLOW-ID", GroupID: groupFlows,
		Short: "Feed the inputs and read the outputs of a submitted flow",
		Long: `Feed the inputs of a submitted flow, print the records of its outputs, follow
the flow to its end, and exit with the code of its verdict (see "dagyo help
exit-codes").

An input can be fed by one client only, and an output can be read by one client
only. Inputs that you do not name are not fed. If you name no output, attach
reads all outputs that no other client reads; otherwise only those that you
name. Files and record formats are those of "dagyo run". The outputs of a flow
that has ended can be read until they are deleted.

The first Ctrl-C cancels the flow; the second one exits without waiting for its
end.`,
		Example: "  dagyo submit --id shout shout.json\n" +
			"  dagyo attach shout --input words=words.txt --output loud=loud.txt",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.flowIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.attach(cmd.Context(), args[0], o)
		},
	}
	o.files.flags(a, cmd)
	o.progressFlag(cmd)
	return cmd
}

func (a *app) attach(ctx context.Context, flow string, o runOptions) error {
	if err := flowName(flow); err != nil {
		return err
	}
	d, err := a.newDisplay(o.progress, flow)
	if err != nil {
		return err
	}
	var found attachment
	err = a.with(ctx, func(ctx context.Context, c *client.Client) error {
		found, err = a.attachment(ctx, c, flow, o)
		return err
	})
	if err != nil {
		return err
	}
	opened, err := a.openFiles(o.files, sortedEnds(found.take.Outputs), "")
	if err != nil {
		return err
	}
	defer opened.discard()
	in, stop := a.interrupts()
	defer stop()
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	hold, err := c.Hold(flow)
	if err != nil {
		return err
	}
	f := &follower{
		app: a, hold: hold, client: c, flow: flow, display: d, past: found.past, attached: &contract.FlowPlanned{
			Inputs: found.take.Inputs, Outputs: found.take.Outputs,
		},
		ends: &ends{
			app: a, client: c, flow: flow, files: opened,
			partly: len(found.take.Outputs) < len(found.all.Outputs),
		},
	}
	defer f.unhold()
	return a.followToEnd(ctx, f, in)
}

// sortedEnds returns the sorted names of inputs or outputs.
func sortedEnds(all map[string]contract.Address) []string { return slices.Sorted(maps.Keys(all)) }

// An attachment holds the inputs and outputs of a flow, and those that this client takes.
type attachment struct {
	all, take client.Ends
	// past is the status of a flow with a verdict, else nil.
	past *contract.FlowStatus
}

// attachment returns the inputs and outputs of a flow, and those that this client takes.
func (a *app) attachment(
	ctx context.Context, c *client.Client, flow string, o runOptions,
) (found attachment, err error) {
	s, err := c.Flow(ctx, flow)
	switch {
	case err != nil:
		return found, err
	case s.Phase == contract.TypeFlowCleaned:
		return found, fmt.Errorf("attach to flow %s: %w (see `dagyo show %s`)", flow, client.ErrCleaned, flow)
	}
	var past *contract.Event
	if s.Verdict != "" {
		verdict := verdictOf(s)
		found.past, past = &s, &verdict
	}
	found.all = client.Ends{Inputs: s.Inputs, Outputs: s.Outputs}
	if s.Stream == "" {
		var end *contract.Event
		if found.all, end, err = c.Planned(ctx, flow, past); err != nil {
			return found, err
		}
		if end != nil {
			return found, a.tellVerdict(*end)
		}
	}
	if err := o.files.check(endNames{sortedEnds(found.all.Inputs), sortedEnds(found.all.Outputs)}); err != nil {
		return found, usage(err)
	}
	free, err := c.Free(ctx, flow, found.all)
	if err != nil {
		return found, err
	}
	if found.past != nil {
		if len(o.files.inputs) > 0 {
			return found, fmt.Errorf("flow %s has ended: its inputs can no longer be fed (see `dagyo show %s`)", flow, flow)
		}
		free.Inputs = nil
	}
	found.take, err = o.choose(flow, found.all, free)
	if err == nil {
		a.tellUnfed(free, o)
	}
	return found, err
}

// choose returns the inputs and outputs to hold: the named ones, and every free output if no output is named.
func (o runOptions) choose(flow string, all, free client.Ends) (client.Ends, error) {
	take := client.Ends{Inputs: make(map[string]contract.Address), Outputs: make(map[string]contract.Address)}
	for name := range o.files.inputs {
		if _, ok := free.Inputs[name]; !ok {
			return take, fmt.Errorf("input %s of flow %s is, or was, fed by another client: only one client can feed an input", name, flow)
		}
		take.Inputs[name] = all.Inputs[name]
	}
	for name := range o.files.outputs {
		if _, ok := free.Outputs[name]; !ok {
			return take, fmt.Errorf("output %s of flow %s is, or was, read by another client: only one client can read an output", name, flow)
		}
		take.Outputs[name] = all.Outputs[name]
	}
	if len(o.files.outputs) == 0 {
		maps.Copy(take.Outputs, free.Outputs)
	}
	switch {
	case len(take.Inputs)+len(take.Outputs) > 0:
		return take, nil
	case len(all.Inputs)+len(all.Outputs) == 0:
		return take, fmt.Errorf("flow %s has no inputs and no outputs: follow it with `dagyo watch %s`", flow, flow)
	case len(free.Inputs) > 0:
		return take, usage(fmt.Errorf("no output of flow %s is available: name an input to feed with --input %s=FILE", flow,
			slices.Sorted(maps.Keys(free.Inputs))[0]))
	default:
		return take, fmt.Errorf("all inputs and outputs of flow %s are held by other clients, or were: each can be held only once", flow)
	}
}

// tellUnfed prints the inputs that no client feeds.
func (a *app) tellUnfed(free client.Ends, o runOptions) {
	for _, name := range slices.Sorted(maps.Keys(free.Inputs)) {
		if _, fed := o.files.inputs[name]; !fed {
			fmt.Fprintf(a.Err, "input %s is not fed: feed it with --input %s=FILE\n", name, name)
		}
	}
}
