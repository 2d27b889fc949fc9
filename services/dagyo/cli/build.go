package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/dagyo/docfile"
	"github.com/dagyo/dagyo/services/spawner/image"
)

// buildFlags are the flags of the command.
type buildFlags struct {
	push, tag, host string
	args            []string
	contextBytes    int64
	write           bool
}

func (a *app) progdefBuildCommand() *cobra.Command {
	var f buildFlags
	cmd := &cobra.Command{
		Use:   "build FILE…",
		Short: "Build the images of progdefs, and pin them",
		Long: `Build the image that a progdef's "build" describes, and print the document with that
image pinned in "image", ready for "progdef apply". Docker builds; what it says goes to
standard error. Nothing is applied.

With --push the image is pushed, and pinned by its digest: REPOSITORY@sha256:… is the
same image everywhere. The login is that of "docker login". Without --push the image is
pinned by its id, sha256:…, and only this Docker host can run it.

Files are JSON or YAML; - is standard input, and its build context is relative to the
working directory. Docker's builder is its API's: it has no BuildKit.`,
		Example: `  dagyo progdef build greet.json | dagyo progdef apply -
  dagyo progdef build --push registry.example.com/greet --write greet.json
  dagyo progdef build --arg BASE=python:3.13-slim --tag greet:dev greet.json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := a.checkBuild(f, files); err != nil {
				return usage(err)
			}
			return a.buildProgdefs(cmd.Context(), f, files)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.push, "push", "", "push the image to this repository; it may have a tag")
	flags.StringVar(&f.tag, "tag", "",
		"name of the image where it is not pushed (default dagyo-PROGDEF:DIGITS-OF-ITS-ID)")
	flags.StringArrayVar(&f.args, "arg", nil,
		"NAME=VALUE: a build argument for this time; goes before the document's")
	flags.StringVar(&f.host, "host", "",
		"Docker host, such as unix:///var/run/docker.sock (environment: DOCKER_HOST)")
	flags.Int64Var(&f.contextBytes, "context-bytes", image.DefaultContextBytes,
		"size in octets of what is sent to the builder, at most")
	flags.BoolVar(&f.write, "write", false, "put the image into the files instead of printing the documents")
	cmd.MarkFlagsMutuallyExclusive("push", "tag")
	return cmd
}

// checkBuild reports what is wrong with the arguments.
func (a *app) checkBuild(f buildFlags, files []string) error {
	var errs []error
	for _, arg := range f.args {
		if name, _, ok := strings.Cut(arg, "="); !ok || name == "" {
			errs = append(errs, fmt.Errorf("--arg is %q: it must be NAME=VALUE", arg))
		}
	}
	for _, path := range files {
		if path == stdin && f.write {
			errs = append(errs, errors.New("--write needs files, not standard input"))
		}
	}
	if several := len(files) > 1; several && !f.write && !a.json() {
		errs = append(errs, errors.New("several files need --write or --output json"))
	} else if several && f.push+f.tag != "" {
		errs = append(errs, errors.New("--push and --tag name the image of one file"))
	}
	return errors.Join(errs...)
}

func (a *app) buildProgdefs(ctx context.Context, f buildFlags, files []string) error {
	ctx, stop := a.untilInterrupt(ctx)
	defer stop()
	builder, err := image.Open(ctx, f.host)
	if err != nil {
		return err
	}
	defer builder.Close()
	var errs []error
	for _, path := range files {
		err := a.buildProgdef(ctx, builder, f, path)
		var problems problem.List
		if errors.As(err, &problems) {
			err = a.tellRefused("progdef", path, problems)
		} else if err != nil {
			err = fmt.Errorf("build %s: %w", path, err)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// buildProgdef builds the image of one file.
func (a *app) buildProgdef(ctx context.Context, b *image.Builder, f buildFlags, path string) error {
	text, doc, err := a.readBuild(path)
	if err != nil {
		return err
	}
	built, err := b.Build(ctx, f.spec(doc, path), a.Err)
	if err != nil {
		return err
	}
	text, err = pinImage(text, built.Pinned)
	if err != nil {
		return err
	}
	doc.Image = built.Pinned
	if f.write {
		if err := replaceFile(path, text); err != nil {
			return err
		}
	}
	return a.tellBuilt(path, text, doc, built, f.write)
}

// readBuild reads a document that has a build: its text as it was written, and what it says. Whatever its
// image is now, there will be another one.
func (a *app) readBuild(path string) (text []byte, doc progdef.Document, err error) {
	in := a.In
	if path != stdin {
		f, err := os.Open(path)
		if err != nil {
			return nil, doc, usage(err)
		}
		defer f.Close()
		in = f
	}
	limits := document.DefaultLimits()
	text, err = io.ReadAll(io.LimitReader(in, int64(limits.Bytes)+1))
	if err != nil {
		return nil, doc, err
	}
	raw, err := docfile.Read(bytes.NewReader(text), path)
	if err != nil {
		return nil, doc, err
	}
	if imagined, err := withImage(raw, "yet-to-be-built"); err == nil {
		raw = imagined
	}
	doc, problems := progdef.Check(raw, limits)
	if len(problems) > 0 {
		return nil, doc, problems
	}
	if doc.Build == nil {
		return nil, doc, &exit{ExitRejected, fmt.Errorf("the progdef %s has no `build`", doc.Name)}
	}
	_, err = pinImage(text, doc.Image) // it must not fail when the image is there
	return text, doc, err
}

func pinImage(text []byte, pinned string) ([]byte, error) {
	return docfile.Set(text, "image", pinned, "build")
}

// spec is what the flags and the document ask for.
func (f buildFlags) spec(doc progdef.Document, path string) image.Spec {
	s := image.Spec{
		Progdef: doc.Name, Dir: filepath.Dir(path), Build: *doc.Build,
		Name: orElse(f.push+f.tag, "dagyo-"+doc.Name), Push: f.push != "",
		ContextBytes: f.contextBytes,
	}
	args := maps.Clone(doc.Build.Args)
	if args == nil {
		args = make(map[string]string)
	}
	for _, arg := range f.args {
		name, value, _ := strings.Cut(arg, "=")
		args[name] = value
	}
	s.Build.Args = args
	return s
}

// tellBuilt prints the document, unless it is in its file, and which image that is.
func (a *app) tellBuilt(
	path string, text []byte, doc progdef.Document, built image.Image, written bool,
) error {
	if a.json() {
		raw, err := docfile.Read(bytes.NewReader(text), path)
		if err != nil {
			return err
		}
		return a.printJSON(map[string]any{
			"file": path, "progdef": doc.Name, "revision": doc.Revision(),
			"image": built.Pinned, "id": built.ID, "tag": built.Name, "document": json.RawMessage(raw),
		})
	}
	fmt.Fprintf(a.Err, "progdef %s: image %s is %s\n", doc.Name, built.Name, built.Pinned)
	if written {
		return nil
	}
	_, err := a.Out.Write(text)
	return err
}

// replaceFile writes a file as a whole or not at all.
func replaceFile(path string, text []byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(info.Mode().Perm()), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
