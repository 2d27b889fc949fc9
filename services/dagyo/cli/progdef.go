package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/executor/std"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/policy"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/dagyo/docfile"
	"github.com/dagyo/dagyo/services/dagyo/local"
	"github.com/dagyo/dagyo/services/dagyo/report"
)

func (a *app) progdefCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "progdef", GroupID: groupProgdefs, Aliases: []string{"progdefs"},
		Short: "Manage program definitions",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(
		a.progdefBuildCommand(), a.progdefApplyCommand(), a.progdefLsCommand(),
		a.progdefShowCommand(), a.progdefRmCommand(), a.progdefRestoreCommand(),
	)
	return cmd
}

func (a *app) progdefApplyCommand() *cobra.Command {
	var standard string
	var replace bool
	cmd := &cobra.Command{
		Use:   "apply {FILE… | --standard IMAGE}",
		Short: "Add or update progdefs",
		Long: `Add the progdef documents in the files (JSON or YAML; - is standard input) to
the catalogue. A file may contain several documents. For each document, apply
prints its revision and the changed fields, or all problems.

Words of a command that begin with ./ or ../ are paths relative to the document,
if it has no image and the server is on this machine.

A document with the name of a standard progdef that runs another program needs
--replace-standard. "progdef rm" restores the standard progdef.

With --standard, the standard progdefs are applied first; they run in the given
image of Dagyo. A spawner that runs containers needs this. "dagyo up" applies
the standard progdefs itself.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 && standard == "" {
				return errors.New("no files: name progdef files, or use --standard IMAGE")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				return a.applyProgdefs(ctx, c, args, standard, replace)
			})
		},
	}
	cmd.Flags().StringVar(&standard, "standard", "", "apply the standard progdefs; they run in this image of Dagyo")
	a.policyFlag(cmd)
	cmd.Flags().Lookup("policy").Usage = "with --standard: file with the policy, which says which ones are offered, and its limits on them " +
		"(environment: " + envPolicy + ")"
	cmd.Flags().BoolVar(&replace, "replace-standard", false, "allow files to replace standard progdefs")
	return cmd
}

// applyProgdefs applies the standard progdefs, if an image is given for them, and the progdefs in the files.
func (a *app) applyProgdefs(
	ctx context.Context, c *client.Client, files []string, standard string, replace bool,
) error {
	p, err := a.newApplier(ctx, c)
	if err != nil {
		return err
	}
	var errs []error
	if standard != "" {
		p.replace = true
		errs = append(errs, p.applyStandard(ctx, standard))
	}
	p.replace = replace
	errs = append(errs, a.applyFiles("progdef", files, func(d docfile.Document, path, name string) error {
		raw, err := p.placed(d, path)
		if err != nil {
			return err
		}
		return p.apply(ctx, raw, name)
	}))
	return errors.Join(errs...)
}

// applyStandard applies the standard progdefs with the image, except those that the policy does not offer or refuses.
func (p *applier) applyStandard(ctx context.Context, image string) error {
	rules, unwatch, err := p.openPolicy(ctx, false, zerolog.Nop())
	if err != nil {
		return err
	}
	unwatch()
	offered, err := local.Offered(rules.Get())
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range offered {
		name := "standard progdef " + s.Name
		raw, err := withImage(s.Document, image)
		if err == nil {
			err = p.apply(ctx, raw, name)
		}
		var problems problem.List
		if errors.As(err, &problems) && policy.Refused(problems) {
			fmt.Fprintf(p.Err, "%s left out: %s\n", name, problems[0])
			continue
		}
		if err != nil {
			errs = append(errs, p.notApplied("progdef", name, docfile.Document{}, err))
		}
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

func (a *app) tellRefused(what, path string, problems problem.List) error {
	if a.json() {
		err := a.printJSON(map[string]any{"file": path, "problems": problems})
		return errors.Join(err, told(ExitRejected))
	}
	fmt.Fprintf(a.Err, "%s in %s rejected: %s\n", what, path, document.Count(len(problems), "problem"))
	report.Problems(a.Err, problems)
	return told(ExitRejected)
}

// applyAs returns the name to apply a document under: its own, or a substitute so that the validator
// can report what is wrong with it.
func applyAs(raw []byte) string {
	if name := nameIn(raw); document.ValidName(name) {
		return name
	}
	return newID("progdef")
}

func (a *app) progdefLsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "ls", Aliases: []string{"list"},
		Short: "List progdefs",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				all, err := c.Catalog(ctx)
				if err != nil {
					return err
				}
				if a.json() {
					return a.printJSON(append([]contract.Published{}, all...))
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
		Short:             "Show the ports, revision, scaling and executors of a progdef",
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

// shownProgdef is the output of `progdef show` with --output json.
type shownProgdef struct {
	contract.Published
	// Capacity is the current capacity of each revision.
	Capacity []contract.Capacity `json:"capacity"`
}

func (a *app) progdefRmCommand() *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME…", Aliases: []string{"remove"},
		Short: "Remove progdefs from the catalogue",
		Long: `Remove progdefs from the catalogue. Running flows keep them. If a removed
progdef replaced a standard progdef, the standard progdef is restored.`,
		Args: cobra.MinimumNArgs(1),
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
				return a.removeProgdefs(ctx, c, args)
			})
		},
	}
}

func (a *app) removeProgdefs(ctx context.Context, c *client.Client, names []string) error {
	p, err := a.newApplier(ctx, c)
	if err != nil {
		return err
	}
	restored := map[string]string{}
	for _, name := range names {
		revision, err := p.remove(ctx, name)
		if err != nil {
			return err
		}
		if revision != "" {
			restored[name] = revision
		}
	}
	if a.json() {
		return a.printJSON(map[string]any{"removed": names, "restored": restored})
	}
	fmt.Fprintf(a.Out, "removed %s\n", strings.Join(names, ", "))
	for _, name := range slices.Sorted(maps.Keys(restored)) {
		fmt.Fprintf(a.Out, "standard progdef %s restored, revision %s\n", name, restored[name])
	}
	return nil
}

func (a *app) progdefRestoreCommand() *cobra.Command {
	var image string
	cmd := &cobra.Command{
		Use:   "restore NAME…",
		Short: "Restore standard progdefs",
		Long: `Restore the standard progdefs with these names in the catalogue. They run in
the image of the other standard progdefs, or in --image.`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: cobra.FixedCompletions(standardNames(), cobra.ShellCompDirectiveNoFileComp),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, name := range args {
				if _, ok := std.Find(name); !ok {
					return &exit{ExitNotFound, fmt.Errorf("%s is not a standard progdef", document.Quote(name))}
				}
			}
			return a.with(cmd.Context(), func(ctx context.Context, c *client.Client) error {
				return a.restoreProgdefs(ctx, c, args, image)
			})
		},
	}
	cmd.Flags().StringVar(&image, "image", "", "image of Dagyo that they run in")
	return cmd
}

func (a *app) restoreProgdefs(ctx context.Context, c *client.Client, names []string, image string) error {
	p, err := a.newApplier(ctx, c)
	if err != nil {
		return err
	}
	if image == "" {
		image, _ = p.standardImage()
	}
	for _, name := range names {
		applied, err := p.restore(ctx, name, image)
		if err != nil {
			return err
		}
		if a.json() {
			err = a.printJSON(map[string]string{"progdef": name, "revision": applied.Revision})
		} else {
			_, err = fmt.Fprintf(a.Out, "standard progdef %s restored, revision %s\n", name, applied.Revision)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
