package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/services/dagyo/client"
)

func (a *app) eventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "events", GroupID: groupServices,
		Short: "Look at single events, and skip one that stops a service",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(a.eventsShowCommand(), a.eventsSkipCommand())
	return cmd
}

func (a *app) eventsShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show NUMBER",
		Short: "Print an event as it was published",
		Long: `Print the message of EVENTS with that number as it was published. Dead letters and
the logs of services name events by their number.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			seq, err := eventNumber(args[0])
			if err != nil {
				return err
			}
			return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				m, err := c.Event(ctx, seq)
				if err != nil {
					return err
				}
				return a.printStored(m)
			})
		},
	}
}

func (a *app) eventsSkipCommand() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "skip NUMBER --reason TEXT",
		Short: "Delete an event that stops a service",
		Long: `Delete the message of EVENTS with that number, and publish a dead letter that says so.
Services set messages that they cannot read aside by themselves. This is for the one
that ends a service each time it starts: its log names the event. The flow that the
event is about may not go on; cancel it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			seq, err := eventNumber(args[0])
			if err == nil && reason == "" {
				err = usage(errors.New("say why with --reason"))
			}
			if err != nil {
				return err
			}
			return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				if err := c.Skip(ctx, seq, reason); err != nil {
					return err
				}
				_, err := fmt.Fprintf(a.Out, "event %d is skipped\n", seq)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who read the dead letter")
	return cmd
}

func eventNumber(text string) (uint64, error) {
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil || seq == 0 {
		return 0, usage(fmt.Errorf("%q is not the number of an event: it is a number from 1 on", text))
	}
	return seq, nil
}

// printStored prints an event that anybody may have published: nothing of it reaches the terminal as it is.
func (a *app) printStored(m client.StoredEvent) error {
	if a.json() {
		return a.printJSON(map[string]any{
			"seq": m.Seq, "time": m.Time, "subject": m.Subject, "header": m.Header, "data": string(m.Data),
		})
	}
	fmt.Fprintf(a.Out, "event %d, stored %s, on %q\n", m.Seq, m.Time.UTC().Format(time.RFC3339Nano), m.Subject)
	for _, key := range slices.Sorted(maps.Keys(m.Header)) {
		fmt.Fprintf(a.Out, "  %q: %q\n", key, m.Header[key])
	}
	_, err := fmt.Fprintf(a.Out, "%q\n", m.Data)
	return err
}
