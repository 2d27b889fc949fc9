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

	"github.com/dagyo/dagyo/pkg/client"
)

func (a *app) eventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "events", GroupID: groupServices,
		Short: "Show an event, or skip one that crashes a service",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(a.eventsShowCommand(), a.eventsSkipCommand())
	return cmd
}

func (a *app) eventsShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show NUMBER",
		Short: "Show an event as it was published",
		Long: `Print the message with this sequence number in the stream EVENTS, as it was
published. Dead letters and the logs of services contain the sequence numbers
of events.`,
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
		Short: "Delete an event that crashes a service",
		Long: `Delete the message with this sequence number from the stream EVENTS, and
publish a dead letter about it. Services skip messages that they cannot decode
by themselves. Use this command for an event that crashes a service at every
start; the log of the service contains its sequence number. The flow of the
event may not continue: cancel it.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			seq, err := eventNumber(args[0])
			if err == nil && reason == "" {
				err = usage(errors.New("--reason is required"))
			}
			if err != nil {
				return err
			}
			return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				if err := c.Skip(ctx, seq, reason); err != nil {
					return err
				}
				_, err := fmt.Fprintf(a.Out, "event %d skipped\n", seq)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "reason, stored in the dead letter")
	return cmd
}

func eventNumber(text string) (uint64, error) {
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil || seq == 0 {
		return 0, usage(fmt.Errorf("%q is not the sequence number of an event: it must be an integer, 1 or more", text))
	}
	return seq, nil
}

// printStored prints a stored event. Its content is not trusted: all of it is quoted.
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
