package cli

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/services/dagyo/flowtest"
	"github.com/dagyo/dagyo/services/dagyo/progdefs"
	"github.com/dagyo/dagyo/services/dagyo/report"
	"github.com/dagyo/dagyo/services/dagyo/watch"
)

// devOptions are the flags of dev.
type devOptions struct {
	dir, build, flow string
	files            fileOptions
	tests            testOptions
	noTests          bool
}

func (a *app) devCommand() *cobra.Command {
	o := devOptions{files: newFileOptions()}
	cmd := &cobra.Command{
		Use: "dev [DIR]", GroupID: groupFlows,
		Short: "Build, apply and test a project after each change",
		Long: `Watch the files of a project in the folder DIR, by default the current one. At
the start and after each change:

  1. run the command of --build, if it is set, with a shell in DIR
  2. apply the progdefs in DIR/progdefs and beside test cases that have changed
  3. run the test cases in DIR, as "dagyo test" does
  4. run the flow of --flow, if it is set, as "dagyo run" does

An error is printed, and ends only the steps after it until the next change.

A progdef whose command names files (./ and ../) has changed, too, if one of
them or a source has: its revision contains their digest. Running flows keep the
revision that they started with; new flows get the new one.

Hidden files, *~, *.swp, *.tmp, *.pyc and *.log, links, and the folders bin,
build, dist, target, node_modules, wheels and __pycache__ are not watched. Nor
is a file that two runs of --build in a row have changed.

The command starts a temporary Dagyo, or uses the one of --server or --context.`,
		Example: "  dagyo dev\n  dagyo dev --build 'go build -o bin/redact .' redact\n" +
			"  dagyo dev --context dagyo --flow flows/redact.yaml --input text=text.txt",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.dir = "."
			if len(args) > 0 {
				o.dir = args[0]
			}
			return a.dev(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.build, "build", "", "command to run in DIR before progdefs are applied")
	f.StringVar(&o.flow, "flow", "", "file of a flow to run")
	f.BoolVar(&o.noTests, "no-tests", false, "do not run test cases")
	o.tests.flags(f)
	o.files.flags(a, cmd)
	return cmd
}

// A developer runs the rounds of dev.
type developer struct {
	*app
	devOptions
	client  *client.Client
	in      interrupts
	watcher *watch.Watcher
	// applied are the documents in the catalogue, by name; built the paths that the last build changed.
	applied map[string][]byte
	built   map[string]bool
}

func (a *app) dev(ctx context.Context, o devOptions) (err error) {
	if err := o.check(); err != nil {
		return usage(err)
	}
	real, err := filepath.EvalSymlinks(o.dir) // a link is not walked
	if err != nil {
		return err
	}
	watcher, err := watch.New(real)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, watcher.Close()) }()
	if err := o.ignoreOutputs(watcher); err != nil {
		return usage(err)
	}
	o.dir = real
	in, stop := a.interrupts()
	defer stop()
	d := &developer{app: a, devOptions: o, in: in, watcher: watcher, applied: make(map[string][]byte)}
	if a.explicit || a.context != "" {
		err = d.onServer(ctx)
	} else {
		err = d.onOwn(ctx)
	}
	if errors.Is(err, errInterrupted) {
		return nil
	}
	return err
}

// check reports flags that cannot be used.
func (o devOptions) check() error {
	if info, err := os.Stat(o.dir); err != nil {
		return err
	} else if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", o.dir)
	}
	if o.flow == "" && len(o.files.inputs)+len(o.files.outputs) > 0 {
		return errors.New("--input and --output are for the flow of --flow")
	}
	if o.flow == stdin || slices.Contains(slices.Collect(maps.Values(o.files.inputs)), stdin) {
		return errors.New("standard input can be read only once: name a file")
	}
	_, err := o.tests.check()
	return err
}

// ignoreOutputs keeps the files that --output writes from counting as changes.
func (o devOptions) ignoreOutputs(w *watch.Watcher) error {
	root, err := filepath.Abs(o.dir)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(o.files.outputs)) {
		path := strings.TrimPrefix(o.files.outputs[name], "@")
		if strings.HasSuffix(path, "/") || strings.Contains(path, "*") {
			return fmt.Errorf("--output %s: a folder can be written only once, and the flow runs after each change: name a file", name)
		}
		full, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		short, err := filepath.Rel(root, full)
		if err != nil {
			return err
		}
		w.Ignore(short)
	}
	return nil
}

func (d *developer) onServer(ctx context.Context) error {
	ctx, stop := until(ctx, d.in.first)
	defer stop()
	c, err := d.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	d.client = c
	return d.rounds(ctx)
}

func (d *developer) onOwn(ctx context.Context) error {
	own, err := d.startOwn(ctx, d.in)
	if err != nil {
		return err
	}
	d.client, d.temporary = own.client, true
	guarded, stop := own.until(ctx, d.in)
	err = d.rounds(guarded)
	stop()
	return errors.Join(err, own.end(ctx, d.in))
}

// rounds runs one round at the start, and one after each change.
func (d *developer) rounds(ctx context.Context) error {
	var last watch.Snapshot
	for {
		now, err := d.watcher.Next(ctx, last)
		if err != nil {
			return err
		}
		d.tellChange(now, last)
		if err := d.round(ctx, now); err != nil && !d.goesOn(ctx, err) {
			return cmp.Or(context.Cause(ctx), err)
		}
		last = d.watcher.Watched(now)
		d.say("watching %s; Ctrl-C ends it", document.Count(len(last), "file"))
	}
}

// goesOn prints the error of a round, unless that ends the command.
func (d *developer) goesOn(ctx context.Context, err error) bool {
	if ctx.Err() != nil || errors.Is(err, errAbandoned) || d.stdout.failure() != nil {
		return false
	}
	if _, told := codeOf(err); !told {
		fmt.Fprintf(d.Err, "dagyo: %v\n", err)
	}
	return true
}

const maxShownChanges = 3

// tellChange prints what has changed.
func (d *developer) tellChange(now, last watch.Snapshot) {
	what := "start"
	if last != nil {
		all := now.Changed(last)
		what = "changed: " + strings.Join(all[:min(len(all), maxShownChanges)], ", ")
		if more := len(all) - maxShownChanges; more > 0 {
			what += fmt.Sprintf(" and %d more", more)
		}
	}
	d.say("%s  %s", time.Now().Format(time.TimeOnly), what)
}

// say prints a line for people, after what was printed before on both outputs.
func (d *developer) say(format string, args ...any) {
	_, _ = d.flush(d.stdout), d.flush(d.stderr)
	var b bytes.Buffer
	report.Block(&b, "", fmt.Sprintf(format, args...))
	_, _ = d.Err.Write(b.Bytes()) // an error of it ends nothing
	_ = d.flush(d.stderr)
}

// round builds, applies and tests.
func (d *developer) round(ctx context.Context, now watch.Snapshot) error {
	if err := d.runBuild(ctx, now); err != nil {
		return err
	}
	suite, err := d.suite()
	if err != nil {
		return err
	}
	if err := d.apply(ctx, now, suite); err != nil {
		return err
	}
	if len(suite.Cases) > 0 && !d.noTests {
		err = d.runCases(ctx, d.client, suite.Cases, d.tests, &testReport{})
	}
	if d.flow != "" && ctx.Err() == nil {
		err = errors.Join(err, d.runFlow(ctx))
	}
	return err
}

// runBuild runs the command of --build.
func (d *developer) runBuild(ctx context.Context, before watch.Snapshot) error {
	if d.build == "" {
		return nil
	}
	began := time.Now()
	output, err := runShell(ctx, d.dir, d.build)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		d.say("build FAILED: %v", err)
		d.say("%s", output)
		return told(ExitFailed)
	}
	d.say("build ok, %.2fs", time.Since(began).Seconds())
	after, err := d.watcher.Take()
	if err != nil {
		return err
	}
	again := make(map[string]bool)
	for _, path := range after.Changed(before) {
		if again[path] = true; d.built[path] {
			d.watcher.Ignore(path)
			d.say("the build writes %s each time: it is not watched any more", path)
		}
	}
	d.built = again
	return nil
}

// suite returns the test cases of the project, and all its progdefs.
func (d *developer) suite() (flowtest.Suite, error) {
	only, err := d.tests.check()
	if err != nil {
		return flowtest.Suite{}, err
	}
	suite, err := flowtest.Find([]string{d.dir}, only)
	var faults flowtest.Faults
	switch {
	case flowtest.NoCases(err):
		suite = flowtest.Suite{}
	case errors.As(err, &faults):
		return suite, d.tellFaults(faults)
	case err != nil:
		return suite, err
	}
	folder := filepath.Join(d.dir, "progdefs")
	if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) {
		return suite, nil
	}
	own, err := d.readProgdefs([]string{folder})
	for _, p := range own {
		if !slices.ContainsFunc(suite.Progdefs, func(q progdefs.Progdef) bool { return q.Title() == p.Title() }) {
			suite.Progdefs = append(suite.Progdefs, p)
		}
	}
	return suite, err
}

// apply applies the progdefs that are not in the catalogue as they are now.
func (d *developer) apply(ctx context.Context, now watch.Snapshot, suite flowtest.Suite) error {
	sources := now.Digest(d.isSource(suite))
	applier, err := d.newApplier(ctx, d.client)
	if err != nil {
		return err
	}
	var changed []progdefs.Progdef
	for _, p := range suite.Progdefs {
		if p, err = coded(p, sources); err != nil {
			return err
		}
		if !bytes.Equal(d.applied[p.Name], p.Document) {
			changed = append(changed, p)
		}
	}
	return applier.publishAll(ctx, changed, func(p progdefs.Progdef, done appliedProgdef) {
		d.applied[p.Name] = p.Document
		done.Replaced = "" // the lines before have it
		d.say("%s", done)
	})
}

// isSource returns whether a file may be part of a program: documents and records of tests are not.
func (d *developer) isSource(suite flowtest.Suite) func(path string) bool {
	no := map[string]bool{filepath.Clean(d.flow): true}
	for _, p := range suite.Progdefs {
		no[p.File] = true
	}
	var folders []string
	for _, c := range suite.Cases {
		no[c.Path] = true
		folders = append(folders, c.Dir+string(filepath.Separator))
	}
	return func(path string) bool {
		path = filepath.Join(d.dir, path)
		inCase := slices.ContainsFunc(folders, func(dir string) bool { return strings.HasPrefix(path, dir) })
		return !no[path] && !inCase && filepath.Ext(path) != ".md"
	}
}

// coded returns a progdef whose revision contains the files that its command names, and all sources: it may load any.
func coded(p progdefs.Progdef, sources string) (progdefs.Progdef, error) {
	if len(p.Files) == 0 {
		return p, nil
	}
	text := sources
	for _, path := range p.Files {
		digest, err := watch.Digest(path)
		if err != nil {
			digest = err.Error() // such as a folder
		}
		text += "\n" + digest
	}
	return p.Coded(digest([]byte(text)))
}

// runFlow runs the flow of --flow.
func (d *developer) runFlow(ctx context.Context) error {
	id := newID(d.flow)
	raw, err := d.flowDocument(d.flow, id)
	if err != nil {
		return err
	}
	shown, err := d.newDisplay(progressNone, id)
	if err != nil {
		return err
	}
	files, err := d.openAll(d.files, raw, d.flow)
	if err != nil {
		return err
	}
	defer files.discard()
	f := &follower{app: d.app, client: d.client, flow: id, display: shown, ends: &ends{
		app: d.app, client: d.client, flow: id, files: files,
	}}
	return d.checkAndFollow(ctx, f, raw, d.in)
}
