package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/client"
	"github.com/dagyo/dagyo/services/dagyo/report"
)

func (a *app) lsCommand() *cobra.Command {
	var live bool
	var limit int
	cmd := &cobra.Command{
		Use: "ls", GroupID: groupFlows, Aliases: []string{"list"},
		Short: "List flows, the last submitted first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				flows, err := c.Flows(ctx)
				if err != nil {
					return err
				}
				return a.list(flows, live, limit)
			})
		},
	}
	cmd.Flags().BoolVar(&live, "live", false, "only flows without a verdict")
	cmd.Flags().IntVarP(&limit, "limit", "n", 50, "how many at most")
	return cmd
}

func (a *app) list(flows []contract.FlowStatus, live bool, limit int) error {
	if live {
		flows = slices.DeleteFunc(flows, func(s contract.FlowStatus) bool { return s.Verdict != "" })
	}
	flows = flows[:min(len(flows), max(limit, 0))]
	if a.json() {
		return a.printJSON(append([]contract.FlowStatus{}, flows...))
	}
	report.Flows(a.Out, flows, time.Now())
	return nil
}

func (a *app) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show FLOW-ID", GroupID: groupFlows,
		Short:             "Show where a flow stands, or how it ended",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.flowIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flowName(args[0]); err != nil {
				return err
			}
			return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				s, err := c.Flow(ctx, args[0])
				if err != nil {
					return err
				}
				if a.json() {
					return a.printJSON(s)
				}
				report.Flow(a.Out, s, time.Now())
				return nil
			})
		},
	}
}

func (a *app) cancelCommand() *cobra.Command {
	var noWait bool
	var reason string
	cmd := &cobra.Command{
		Use: "cancel FLOW-ID", GroupID: groupFlows,
		Short: "End a flow before it ends itself",
		Long: `Ask for the end of a flow, and wait until it has its verdict: flow.cancelled, or
another one that was faster. Exits with 0 once the flow has ended.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.flowIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flowName(args[0]); err != nil {
				return err
			}
			return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				return a.cancel(ctx, c, args[0], reason, noWait)
			})
		},
	}
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "do not wait for the verdict")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who look at the flow later")
	return cmd
}

func (a *app) cancel(
	ctx context.Context, c *client.Client, flow, reason string, noWait bool,
) error {
	s, err := c.Flow(ctx, flow)
	if err != nil {
		return err
	}
	if s.Verdict == "" {
		if _, err := c.Cancel(ctx, flow, reason); err != nil {
			return err
		}
		if noWait {
			return nil
		}
	}
	f := &follower{app: a, client: c, flow: flow, display: silence{}}
	verdict, err := f.follow(ctx, interrupts{})
	if err != nil {
		return err
	}
	err = a.tellVerdict(verdict, nil)
	if code, told := codeOf(err); err != nil && told && code != ExitFailed {
		return nil
	}
	return err
}

func (a *app) watchCommand() *cobra.Command {
	var since time.Duration
	cmd := &cobra.Command{
		Use: "watch [FLOW-ID]", GroupID: groupFlows,
		Short: "Print events as they happen",
		Long: `Print every event as it happens, until interrupted. With a flow's id, print the
flow's whole story from its beginning, and exit as it ends. With --output json each
line is a CloudEvent.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.flowIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if err := flowName(args[0]); err != nil {
					return err
				}
			}
			return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				if len(args) == 1 {
					return a.watchFlow(ctx, c, args[0])
				}
				err := a.watchAll(ctx, c, since)
				if errors.Is(err, errInterrupted) {
					return nil
				}
				return err
			})
		},
	}
	cmd.Flags().DurationVar(&since, "since", 0, "begin with what happened so long ago")
	return cmd
}

func (a *app) watchAll(ctx context.Context, c *client.Client, since time.Duration) error {
	start := client.Start{New: true}
	if since > 0 {
		start = client.Start{Time: time.Now().Add(-since)}
	}
	feed, err := c.Follow(ctx, start, client.AllSubjects()...)
	if err != nil {
		return err
	}
	defer feed.Close()
	for {
		e, err := feed.Next(ctx)
		if err == nil {
			err = a.printEvent(e)
		}
		if err != nil {
			return err
		}
	}
}

func (a *app) watchFlow(ctx context.Context, c *client.Client, flow string) error {
	if _, err := c.Flow(ctx, flow); err != nil {
		return err
	}
	feed, err := c.Follow(ctx, client.Start{}, client.FlowSubjects(flow)...)
	if err != nil {
		return err
	}
	defer feed.Close()
	for s := newStory(feed); ; {
		e, err := feed.Next(ctx)
		if err == nil {
			err = a.printEvent(e)
		}
		if err != nil {
			return err
		}
		if s.ends(e) {
			return told(verdictCode(e.Type))
		}
	}
}

func (a *app) printEvent(e contract.Event) error {
	if a.json() {
		return a.printCloudEvent(e)
	}
	_, err := fmt.Fprintln(a.Out, eventLine(e))
	return err
}
