package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/aymanbagabas/go-udiff"
	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/typedoc"
	"github.com/dagyo/dagyo/pkg/webhook"
	"github.com/dagyo/dagyo/services/dagyo/apply"
	"github.com/dagyo/dagyo/services/dagyo/platform"
	"github.com/dagyo/dagyo/services/dagyo/report"
)

// everything is the pattern that all names match.
const everything = "*"

func (a *app) applyCommand() *cobra.Command {
	var c folderApplier
	cmd := &cobra.Command{
		Use: "apply -f DIR…", GroupID: groupProgdefs,
		Short: "Apply the types, progdefs and webhooks in a folder",
		Long: `Apply the types, progdefs and webhooks that are documents (JSON or YAML) in the
folders types, progdefs and webhooks of a folder. DIR may also be one of these
folders, or a file in one. Other folders are left alone.

All documents are checked first, types and progdefs by the server with its policy:
if one has a problem, nothing is changed. What is the same already is not published
again, so apply may be repeated at any time, also after it was interrupted.

With --prune, progdefs and webhooks that are not in the folder are removed, of
the kinds that it has a folder for. Running flows keep them. Standard progdefs and
those that the platform keeps in the catalogue stay; types are never removed.
--prune='crawl-*,etl-*' removes nothing with another name.`,
		Example: `  dagyo apply -f deploy/
  dagyo apply -f deploy/ --prune --dry-run --diff
  dagyo apply -f deploy/ --prune --dry-run --exit-code`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case len(c.paths) == 0:
				return usage(errors.New("no documents: name a folder with -f DIR"))
			case c.exitCode && !c.dry:
				return usage(errors.New("--exit-code is for --dry-run, which changes nothing"))
			}
			for _, pattern := range c.prune {
				if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
					return usage(fmt.Errorf("--prune: %s is not a pattern of names", document.Quote(pattern)))
				}
			}
			c.app = a
			return a.with(cmd.Context(), c.run)
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&c.paths, "file", "f", nil, "folder with documents, or one of them; may be repeated")
	f.StringSliceVar(&c.prune, "prune", nil, "remove what is not in the folder: everything, or names\nthat match one of these patterns")
	f.Lookup("prune").NoOptDefVal = everything
	f.BoolVar(&c.dry, "dry-run", false, "check the documents and print what would be changed;\nchange nothing")
	f.BoolVar(&c.diff, "diff", false, "print the differences of the documents")
	f.BoolVar(&c.exitCode, "exit-code", false, "with --dry-run: exit with 9 if something would be changed")
	f.BoolVar(&c.replace, "replace-standard", false, "allow documents to replace standard progdefs")
	_ = cmd.MarkFlagDirname("file")
	return cmd
}

// A folderApplier carries out dagyo apply.
type folderApplier struct {
	*app
	paths, prune        []string
	dry, diff, exitCode bool
	replace             bool

	client   *client.Client
	progdefs *applier
}

func (c *folderApplier) run(ctx context.Context, to *client.Client) (err error) {
	c.client = to
	if c.progdefs, err = c.newApplier(ctx, to); err != nil {
		return err
	}
	c.progdefs.replace = c.replace
	files, err := apply.Read(c.paths, c.progdefs.placed)
	if err != nil {
		return c.unread(err)
	}
	if len(c.prune) > 0 && !files.Has[apply.Progdef] && !files.Has[apply.Webhook] {
		return usage(errors.New("--prune needs a folder: it removes progdefs or webhooks that are not in it"))
	}
	checked, err := c.check(ctx, files)
	if err != nil {
		return err
	}
	now, err := c.current(ctx, files)
	if err != nil {
		return err
	}
	steps := apply.Plan(files.Documents, checked, now, apply.Prune{
		Kinds: files.Has, Name: c.prunes,
		Ours: func(p contract.Published) bool { return p.By != platform.User && !isStandard(p.Pinned) },
	})
	return c.take(ctx, steps)
}

// unread is the error of files that cannot be read: nothing was done.
func (c *folderApplier) unread(err error) error {
	var missing *fs.PathError
	if errors.As(err, &missing) && missing.Op == "read" {
		return err
	}
	return usage(err)
}

func (c *folderApplier) prunes(name string) bool {
	for _, pattern := range c.prune {
		if ok, _ := path.Match(pattern, name); ok {
			return true
		}
	}
	return false
}

// check asks the server about all types and progdefs, prints all problems, and returns its results for the progdefs, by name.
func (c *folderApplier) check(ctx context.Context, files apply.Files) (checked map[string]contract.CheckedDocument, err error) {
	var errs []error
	for _, r := range files.Refused {
		errs = append(errs, c.tellRefused(string(r.Kind), r.Title, r.Problems))
	}
	asked, documents := question(files.Documents)
	var results []contract.CheckedDocument
	if len(documents) > 0 {
		if results, err = c.client.Check(ctx, documents); err != nil {
			return nil, fmt.Errorf("check the documents: %w", err)
		}
	}
	checked = map[string]contract.CheckedDocument{}
	for i, r := range results {
		d := asked[i]
		if len(r.Problems) == 0 && d.Kind == apply.Progdef {
			r.Problems = c.replacesStandard(d)
		}
		if n := len(r.Problems) + r.Omitted; n > 0 {
			errs = append(errs, c.tellRefused(string(d.Kind), d.Title(), d.Locate(r.Problems)))
		}
		if r.Omitted > 0 {
			fmt.Fprintf(c.Err, "  and %s more\n", document.Count(r.Omitted, "problem"))
		}
		if d.Kind == apply.Progdef {
			checked[d.Name] = r
		}
	}
	if len(errs) > 0 {
		fmt.Fprintln(c.Err, "dagyo: nothing was changed")
	}
	return checked, errors.Join(errs...)
}

// replacesStandard refuses a progdef that has the name of a standard one and runs something else, unless that is allowed.
func (c *folderApplier) replacesStandard(d apply.Document) problem.List {
	before, known := c.progdefs.catalog[d.Name]
	if c.replace || !known || !runsStandard(before) || !runsOther(d.JSON, before.Document.Command) {
		return nil
	}
	return problem.List{{
		Code: problem.BadName, Pointer: "/name", Message: d.Name + " is a standard progdef",
		Hint: "use another name, or add --replace-standard",
	}}
}

// question returns the types and progdefs, also as the server is asked about them.
func question(all []apply.Document) (asked []apply.Document, question []contract.CheckDocument) {
	for _, d := range all {
		switch d.Kind {
		case apply.Type:
			asked, question = append(asked, d), append(question, contract.CheckDocument{Type: d.JSON})
		case apply.Progdef:
			asked, question = append(asked, d), append(question, contract.CheckDocument{Progdef: d.JSON})
		}
	}
	return asked, question
}

// current is what the server has, as far as it matters to the documents.
func (c *folderApplier) current(ctx context.Context, files apply.Files) (now apply.Current, err error) {
	now = apply.Current{
		Types: map[string]typedoc.Document{}, Progdefs: map[string]contract.Published{}, Webhooks: map[string]webhook.Document{},
	}
	all, err := c.client.Catalog(ctx)
	if err != nil {
		return now, err
	}
	for _, p := range all {
		now.Progdefs[p.Document.Name] = p
	}
	if files.Has[apply.Webhook] || hasKind(files.Documents, apply.Webhook) {
		hooks, err := c.client.Webhooks(ctx)
		if err != nil {
			return now, err
		}
		for _, w := range hooks {
			now.Webhooks[w.Document.Name] = w.Document
		}
	}
	for _, d := range files.Documents {
		if d.Kind != apply.Type {
			continue
		}
		switch doc, err := c.client.Type(ctx, d.Name); {
		case errors.Is(err, client.ErrUnknownType):
		case err != nil:
			return now, err
		default:
			now.Types[d.Name] = doc
		}
	}
	return now, nil
}

func hasKind(all []apply.Document, kind apply.Kind) bool {
	return slices.ContainsFunc(all, func(d apply.Document) bool { return d.Kind == kind })
}

// take takes the steps, or prints what they would do.
func (c *folderApplier) take(ctx context.Context, steps []apply.Step) error {
	counts := map[apply.Action]int{}
	for _, s := range steps {
		counts[s.Action]++
		if s.Action != apply.Keep && !c.dry {
			if err := c.do(ctx, s); err != nil {
				return c.failed(s, err)
			}
		}
		if err := c.print(s); err != nil {
			return err
		}
	}
	changes := len(steps) - counts[apply.Keep]
	if !c.json() {
		c.summary(counts, changes)
	}
	if c.dry && c.exitCode && changes > 0 {
		return told(ExitChanges)
	}
	return nil
}

func (c *folderApplier) do(ctx context.Context, s apply.Step) error {
	raw := s.Document.JSON
	var err error
	switch {
	case s.Kind == apply.Type:
		_, err = c.client.ApplyType(ctx, typeID(raw), raw)
	case s.Kind == apply.Progdef && s.Action == apply.Remove:
		_, err = c.progdefs.remove(ctx, s.Name)
	case s.Kind == apply.Progdef:
		_, err = c.progdefs.publish(ctx, raw, s.File)
	case s.Action == apply.Remove:
		err = c.client.RemoveWebhook(ctx, s.Name)
	default:
		_, err = c.client.ApplyWebhook(ctx, s.Name, raw)
	}
	return err
}

// failed prints why a step failed. Those before it were taken, and apply may be repeated.
func (c *folderApplier) failed(s apply.Step, err error) error {
	fmt.Fprintln(c.Err, "dagyo: what is listed was changed, and nothing else; apply again once the reason is gone")
	var problems problem.List
	if errors.As(err, &problems) && s.Action != apply.Remove {
		return c.tellRefused(string(s.Kind), s.File, s.Document.Locate(problems))
	}
	what := "apply"
	if s.Action == apply.Remove {
		what = "remove"
	}
	return fmt.Errorf("%s %s %s: %w", what, s.Kind, s.Name, err)
}

// print prints a step. In a dry run it was not taken.
func (c *folderApplier) print(s apply.Step) error {
	if c.json() {
		return c.printJSON(s)
	}
	what := string(s.Action)
	if fields := shortList(s.Changed); s.Action == apply.Update && fields != "" {
		what += ": " + fields
	}
	if _, err := fmt.Fprintf(c.Out, "%-8s %-24s %s\n", s.Kind, s.Name, what); err != nil {
		return err
	}
	if c.diff && s.Action != apply.Keep {
		name := s.Kind.Folder() + "/" + s.Name
		report.Block(c.Out, "  ", udiff.Unified(name, name, indented(s.Before), indented(s.After)))
	}
	return nil
}

// indented is a document in lines, "" for none.
func indented(document any) string {
	if document == nil {
		return ""
	}
	text, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		return ""
	}
	return string(text) + "\n"
}

func (c *folderApplier) summary(counts map[apply.Action]int, changes int) {
	var parts []string
	for _, action := range []apply.Action{apply.Create, apply.Update, apply.Remove, apply.Keep} {
		if n := counts[action]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, action))
		}
	}
	text := strings.Join(parts, ", ")
	switch {
	case text == "":
		text = "no documents"
	case c.dry && changes > 0:
		text += "; this is a dry run, so nothing was changed"
	}
	fmt.Fprintln(c.Err, text)
}
