package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/client"
)

const (
	// completions bounds the number of completions.
	completions = 200
	// completeWait bounds the time for a completion.
	completeWait = 2 * time.Second
)

// complete queries the server for a shell's completion.
func (a *app) complete(
	ctx context.Context, ask func(context.Context, *client.Client) error,
) error {
	ctx, cancel := context.WithTimeout(ctx, completeWait)
	defer cancel()
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	return ask(ctx, c)
}

// progdefNames completes the names of progdefs.
func (a *app) progdefNames(
	cmd *cobra.Command, args []string, _ string,
) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	_ = a.complete(cmd.Context(), func(ctx context.Context, c *client.Client) error {
		all, err := c.Catalog(ctx)
		for _, p := range all[:min(len(all), completions)] {
			names = append(names, cobra.CompletionWithDesc(p.Document.Name, p.Document.Description))
		}
		return err
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}

// typeNames completes the names of types.
func (a *app) typeNames(
	cmd *cobra.Command, args []string, _ string,
) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	_ = a.complete(cmd.Context(), func(ctx context.Context, c *client.Client) error {
		all, err := c.Types(ctx)
		for _, t := range all[:min(len(all), completions)] {
			names = append(names, cobra.CompletionWithDesc(t.Name, t.Summary))
		}
		return err
	})
	return names, cobra.ShellCompDirectiveNoFileComp
}
