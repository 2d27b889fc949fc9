package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/webhook"
	"github.com/dagyo/dagyo/services/dagyo/docfile"
	"github.com/dagyo/dagyo/services/dagyo/report"
)

func (a *app) webhookCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "webhook", GroupID: groupFlows, Aliases: []string{"webhooks"},
		Short: "Send the verdicts of flows to HTTP servers",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(
		a.webhookApplyCommand(), a.webhookLsCommand(), a.webhookShowCommand(), a.webhookTestCommand(), a.webhookRotateCommand(), a.webhookRmCommand(),
	)
	return cmd
}

func (a *app) webhookApplyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "apply FILE…",
		Short: "Add or change webhooks",
		Long: `Add the webhook documents in the files (JSON or YAML; - is standard input), or
change the webhooks with their names. A file may contain several documents.
Verdicts from now on are sent as CloudEvents, signed with the key that apply
prints. docs/webhooks.md says how to receive them.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				return a.applyFiles("webhook", args, func(d docfile.Document, _, name string) error {
					return a.applyWebhook(ctx, c, d.JSON, name)
				})
			})
		},
	}
}

func (a *app) applyWebhook(ctx context.Context, c *client.Client, raw []byte, file string) error {
	name := nameIn(raw)
	if !document.ValidName(name) {
		name = newID("webhook") // the answer says what is wrong
	}
	applied, err := c.ApplyWebhook(ctx, name, raw)
	if err != nil {
		return err
	}
	if a.json() {
		return a.printJSON(appliedWebhook{file, applied})
	}
	_, err = fmt.Fprintf(a.Out, "webhook %s applied: %s to %s, verified with %s\n",
		applied.Name, strings.Join(applied.Document.Events, ", "), webhook.Masked(applied.Document.URL), applied.Key)
	return err
}

// appliedWebhook is the output of `webhook apply` with --output json.
type appliedWebhook struct {
	File string `json:"file"`
	*contract.WebhookApplied
}

func (a *app) webhookLsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Aliases: []string{"list"},
		Short: "List webhooks",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				all, err := c.Webhooks(ctx)
				if err != nil {
					return err
				}
				if a.json() {
					return a.printJSON(append([]contract.WebhookStatus{}, all...))
				}
				report.Webhooks(a.Out, all)
				return nil
			})
		},
	}
}

func (a *app) webhookShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "show NAME",
		Short:             "Show a webhook: its keys, the last deliveries, and what is still to be delivered",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.webhookNames,
		RunE: a.aboutWebhooks(func(ctx context.Context, c *client.Client, name string) error {
			w, err := c.Webhook(ctx, name)
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(w)
			}
			report.Webhook(a.Out, w, time.Now())
			return nil
		}),
	}
}

func (a *app) webhookTestCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "test NAME",
		Short: "Send a test to the receiver of a webhook",
		Long: `Send a signed event of the type webhook.test to the receiver of a webhook, once,
and print how it answered. The exit code is 0 if the receiver accepted it.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.webhookNames,
		RunE: a.aboutWebhooks(func(ctx context.Context, c *client.Client, name string) error {
			tested, err := c.TestWebhook(ctx, name)
			if err != nil {
				return err
			}
			if a.json() {
				err = a.printJSON(tested)
			} else if tested.Delivered {
				_, err = fmt.Fprintf(a.Out, "delivered: status %d in %v\n", tested.Status, tested.Took.D())
			}
			if err == nil && !tested.Delivered {
				err = fmt.Errorf("webhook %s: %s", name, tested.Error)
			}
			return err
		}),
	}
}

func (a *app) webhookRotateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rotate NAME",
		Short: "Give a webhook a new key",
		Long: `Give a webhook a new key. For a week, deliveries have two signatures, that of the
previous key, too: give the receiver the new key in that time.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.webhookNames,
		RunE: a.aboutWebhooks(func(ctx context.Context, c *client.Client, name string) error {
			rotated, err := c.RotateWebhook(ctx, name)
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(rotated)
			}
			_, err = fmt.Fprintf(a.Out, "webhook %s has the key %s; the previous one is used, too, until %s\n",
				name, rotated.Key, rotated.Until.Format(time.RFC3339))
			return err
		}),
	}
}

func (a *app) webhookRmCommand() *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME…", Aliases: []string{"remove"},
		Short: "Remove webhooks; what is still to be delivered is not",
		Args:  cobra.MinimumNArgs(1),
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, word string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return a.webhookNames(cmd, nil, word)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			err := a.aboutWebhooks(func(ctx context.Context, c *client.Client, name string) error {
				return c.RemoveWebhook(ctx, name)
			})(cmd, args)
			switch {
			case err != nil:
				return err
			case a.json():
				return a.printJSON(map[string]any{"removed": args})
			}
			_, err = fmt.Fprintf(a.Out, "removed %s\n", strings.Join(args, ", "))
			return err
		},
	}
}

// aboutWebhooks does something with each of the named webhooks.
func (a *app) aboutWebhooks(do func(ctx context.Context, c *client.Client, name string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, names []string) error {
		for _, name := range names {
			if !document.ValidName(name) {
				return &exit{ExitNotFound, fmt.Errorf("%w: %s", client.ErrUnknownWebhook, document.Quote(name))}
			}
		}
		return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
			for _, name := range names {
				if err := do(ctx, c, name); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// webhookNames completes the names of webhooks.
func (a *app) webhookNames(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	_ = a.complete(cmd.Context(), func(ctx context.Context, c *client.Client) error {
		all, err := c.Webhooks(ctx)
		for _, w := range all {
			names = append(names, cobra.CompletionWithDesc(w.Document.Name, webhook.Masked(w.Document.URL)))
		}
		return err
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}
