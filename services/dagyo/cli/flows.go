package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/services/dagyo/report"
)

func (a *app) showCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show FLOW-ID", GroupID: groupFlows,
		Short:             "Show the status of a flow, or how it ended",
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
				return a.printStatus(ctx, c, s)
			})
		},
	}
}

func (a *app) printStatus(ctx context.Context, c *client.Client, s contract.FlowStatus) error {
	if a.json() {
		return a.printJSON(s)
	}
	now, err := c.Now(ctx)
	if err != nil {
		return err
	}
	report.Flow(a.Out, columnsOf(a.Out), s, now)
	return nil
}

func (a *app) cancelCommand() *cobra.Command {
	var noWait, operator bool
	var reason string
	cmd := &cobra.Command{
		Use: "cancel FLOW-ID", GroupID: groupFlows,
		Short: "Cancel a flow",
		Long: `Cancel a flow, and wait for its verdict: flow.cancelled, or another verdict if
the flow ended first. The exit code is 0 once the flow has ended.

Where the NATS server tells users apart, a flow is cancelled by the user who
submitted it, or by an operator with --operator.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.flowIDs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flowName(args[0]); err != nil {
				return err
			}
			return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				return a.cancel(ctx, c, args[0], reason, operator, noWait)
			})
		},
	}
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "do not wait for the verdict")
	cmd.Flags().BoolVar(&operator, "operator", false, "cancel a flow of another user, as an operator; needs --user")
	cmd.Flags().StringVar(&reason, "reason", "", "reason, shown in the verdict of the flow")
	return cmd
}

// canceller returns how a client cancels a flow, or an error if it may not.
func canceller(
	c *client.Client, s contract.FlowStatus, operator bool,
) (func(ctx context.Context, flow, reason string) (uint64, error), error) {
	switch {
	case operator && c.User() == "":
		return nil, usage(errors.New("--operator needs --user"))
	case operator:
		return c.CancelAsOperator, nil
	case c.User() != "" && s.Owner != "" && s.Owner != c.User():
		return nil, fmt.Errorf("flow %s belongs to %s: only this user and operators (--operator) can cancel it", s.Flow, s.Owner)
	}
	return c.Cancel, nil
}

func (a *app) cancel(
	ctx context.Context, c *client.Client, flow, reason string, operator, noWait bool,
) error {
	s, err := c.Flow(ctx, flow)
	if err != nil {
		return err
	}
	cancel, err := canceller(c, s, operator)
	if err != nil {
		return err
	}
	verdict := verdictOf(s) // its events may no longer be stored
	if s.Verdict == "" {
		if _, err := cancel(ctx, flow, reason); err != nil || noWait {
			return err
		}
		f := &follower{app: a, client: c, flow: flow, display: silence{}}
		if verdict, err = f.follow(ctx, interrupts{}); err != nil {
			return f.left(err)
		}
	}
	err = a.tellVerdict(verdict)
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
		Long: `Print every event as it happens, until interrupted. With the id of a flow,
print all events of the flow from the beginning, and exit with the code of its
verdict. If the events of the flow are no longer stored, print how it ended.
With --output json, each line is a CloudEvent.`,
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
	cmd.Flags().DurationVar(&since, "since", 0, "also print the events of this period before now, such as 10m")
	return cmd
}

func (a *app) watchAll(ctx context.Context, c *client.Client, since time.Duration) error {
	start := client.Start{New: true}
	if since > 0 {
		now, err := c.Now(ctx)
		if err != nil {
			return err
		}
		start = client.Start{Time: now.Add(-since)}
	}
	feed, err := c.Follow(ctx, start)
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
	status, err := c.Flow(ctx, flow)
	if err != nil {
		return err
	}
	w, err := a.newWatcher(ctx, c, flow)
	if err != nil {
		return err
	}
	defer w.close()
	for s := newStory(w.feed); status.Verdict == "" || s.told < s.stored; {
		e, err := w.next(ctx)
		if errors.Is(err, errInterrupted) {
			return fmt.Errorf("%w before flow %s ended", err, flow)
		}
		if err != nil {
			return err
		}
		if s.ends(e) {
			return told(verdictCode(e.Type))
		}
	}
	return a.tellHistory(ctx, c, status)
}

// tellHistory prints how a flow ended whose last events are no longer stored.
func (a *app) tellHistory(ctx context.Context, c *client.Client, s contract.FlowStatus) error {
	fmt.Fprintf(a.Err, "the events of flow %s are no longer stored; this is how it ended\n", s.Flow)
	if err := a.printStatus(ctx, c, s); err != nil {
		return err
	}
	return told(verdictCode(s.Verdict))
}

func (a *app) printEvent(e contract.Event) error {
	if a.json() {
		return a.printCloudEvent(e)
	}
	_, err := fmt.Fprintln(a.Out, eventLine(e))
	return err
}
