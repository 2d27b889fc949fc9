package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/executor/std"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/dagyo/client"
	"github.com/dagyo/dagyo/services/dagyo/report"
)

func (a *app) progdefCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "progdef", GroupID: groupProgdefs, Aliases: []string{"progdefs"},
		Short: "Publish and list program definitions",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(
		a.progdefBuildCommand(), a.progdefApplyCommand(), a.progdefLsCommand(),
		a.progdefShowCommand(), a.progdefRmCommand(),
	)
	return cmd
}

func (a *app) progdefApplyCommand() *cobra.Command {
	var standard string
	cmd := &cobra.Command{
		Use:   "apply {FILE… | --standard IMAGE}",
		Short: "Put progdefs into the catalogue",
		Long: `Put the progdef documents in the files (JSON or YAML; - is standard input) into the
catalogue, and print the revision of each, or every problem.

With --standard the standard progdefs come before them, run in an image of Dagyo:
"dagyo up" has them by itself, a spawner that runs containers is told so.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && standard == "" {
				return errors.New("name the files of progdefs, or --standard IMAGE")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				var errs []error
				if standard != "" {
					errs = append(errs, a.applyStandard(ctx, c, standard))
				}
				for _, path := range args {
					errs = append(errs, a.applyFile(ctx, c, path))
				}
				return errors.Join(errs...)
			})
		},
	}
	cmd.Flags().StringVar(&standard, "standard", "", "apply the standard progdefs, run in this image of Dagyo")
	return cmd
}

// applyStandard applies the standard progdefs, each with the image.
func (a *app) applyStandard(ctx context.Context, c *client.Client, image string) error {
	var errs []error
	for _, s := range std.Standard() {
		raw, err := withImage(s.Document, image)
		if err == nil {
			err = a.apply(ctx, c, "standard progdef "+s.Name, raw)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func withImage(raw []byte, image string) ([]byte, error) {
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		return nil, err
	}
	fields["image"] = image
	return json.Marshal(fields)
}

// applyFile applies the document in a file.
func (a *app) applyFile(ctx context.Context, c *client.Client, path string) error {
	raw, err := a.readDocument(path)
	var problems problem.List
	switch {
	case errors.As(err, &problems):
		return a.tellRefused("progdef", path, problems)
	case err != nil:
		return fmt.Errorf("apply %s: %w", path, err)
	}
	return a.apply(ctx, c, path, raw)
}

// apply applies one document and says what came of it.
func (a *app) apply(ctx context.Context, c *client.Client, path string, raw []byte) error {
	applied, err := c.Apply(ctx, applyAs(raw), raw)
	var problems problem.List
	switch {
	case errors.As(err, &problems):
		return a.tellRefused("progdef", path, problems)
	case err != nil:
		return fmt.Errorf("apply %s: %w", path, err)
	case a.json():
		return a.printJSON(map[string]string{
			"file": path, "progdef": applied.Name, "revision": applied.Revision,
		})
	}
	_, err = fmt.Fprintf(a.Out, "progdef %s applied, revision %s\n", applied.Name, applied.Revision)
	return err
}

func (a *app) tellRefused(what, path string, problems problem.List) error {
	if a.json() {
		err := a.printJSON(map[string]any{"file": path, "problems": problems})
		return errors.Join(err, told(ExitRejected))
	}
	fmt.Fprintf(a.Err, "%s in %s rejected: %d problems\n", what, path, len(problems))
	report.Problems(a.Err, problems)
	return told(ExitRejected)
}

// applyAs returns the name under which to apply a document: its own, or one that only serves to get
// an answer about what is wrong with that.
func applyAs(raw []byte) string {
	var named struct{ Name any }
	_ = json.Unmarshal(raw, &named) // the validator tells what is wrong
	if name, _ := named.Name.(string); document.ValidName(name) {
		return name
	}
	return newID("progdef")
}

func (a *app) progdefLsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Aliases: []string{"list"},
		Short: "List the catalogue",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				all, err := c.Catalog(ctx)
				if err != nil {
					return err
				}
				if a.json() {
					return a.printJSON(append([]progdef.Pinned{}, all...))
				}
				report.Progdefs(a.Out, all)
				return nil
			})
		},
	}
}

func (a *app) progdefShowCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "show NAME",
		Short:             "Show a progdef: its ports, revision, scaling and executors",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.progdefNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				p, err := c.Progdef(ctx, args[0])
				if err != nil {
					return err
				}
				serving, err := c.Capacity(ctx, p.Document.Name)
				if err != nil {
					return err
				}
				if a.json() {
					return a.printJSON(shownProgdef{p, serving})
				}
				report.Progdef(a.Out, p, serving)
				return nil
			})
		},
	}
}

// shownProgdef is `progdef show` in --output json.
type shownProgdef struct {
	progdef.Pinned
	// Capacity is what serves each of its revisions now.
	Capacity []contract.Capacity `json:"capacity"`
}

func (a *app) progdefRmCommand() *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME…", Aliases: []string{"remove"},
		Short: "Take progdefs out of the catalogue; running flows keep them",
		Args:  cobra.MinimumNArgs(1),
		ValidArgsFunction: func(
			cmd *cobra.Command, _ []string, word string,
		) ([]cobra.Completion, cobra.ShellCompDirective) {
			return a.progdefNames(cmd, nil, word)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range args {
				if !document.ValidName(name) {
					return &exit{ExitNotFound, fmt.Errorf("%w: %s", client.ErrUnknownProgdef,
						document.Quote(name))}
				}
			}
			return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				for _, name := range args {
					if err := c.Remove(ctx, name); err != nil {
						return err
					}
				}
				return a.removed(args)
			})
		},
	}
}

func (a *app) removed(names []string) error {
	if a.json() {
		return a.printJSON(map[string]any{"removed": names})
	}
	_, err := fmt.Fprintf(a.Out, "removed %s\n", strings.Join(names, ", "))
	return err
}
