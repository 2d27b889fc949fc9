package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"github.com/moby/sys/atomicwriter"
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
		Short: "Build and pin the images of progdefs",
		Long: `Build the image described by the field "build" of a progdef, and print the
document with that image pinned in the field "image", ready for "progdef
apply". The progress of the build is printed on standard error. Nothing is
applied.

With --push, the image is pushed and pinned by its digest, REPOSITORY@sha256:…,
which is valid on every host; the credentials are those of "docker login".
Without --push, the image is pinned by its id, sha256:…, and only this Docker
host can run it.

Files are JSON or YAML; - is standard input, and its build context is relative
to the working directory. The image is built through the Docker API, without
BuildKit.`,
		Example: `  dagyo progdef build caption.json | dagyo progdef apply -
  dagyo progdef build --push registry.example.com/caption --write caption.json
  dagyo progdef build --arg BASE=python:3.13-slim --tag greet:dev caption.json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := a.checkBuild(f, files); err != nil {
				return usage(err)
			}
			return a.buildProgdefs(cmd.Context(), f, files)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.push, "push", "", "push the image to this repository, which may include a tag")
	flags.StringVar(&f.tag, "tag", "",
		"name of an image that is not pushed (default dagyo-PROGDEF:DIGITS-OF-ITS-ID)")
	flags.StringArrayVar(&f.args, "arg", nil,
		"build argument NAME=VALUE; overrides the document's")
	flags.StringVar(&f.host, "host", "",
		"Docker host, such as unix:///var/run/docker.sock (environment: DOCKER_HOST)")
	flags.Int64Var(&f.contextBytes, "context-bytes", image.DefaultContextBytes,
		"maximum size of the build context in bytes")
	flags.BoolVar(&f.write, "write", false, "write the image to the files instead of printing the documents")
	cmd.MarkFlagsMutuallyExclusive("push", "tag")
	return cmd
}

// checkBuild validates the arguments.
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

// A source is a document with a build: its original text, and its content.
type source struct {
	path string
	text []byte
	doc  progdef.Document
}

func (a *app) buildProgdefs(ctx context.Context, f buildFlags, files []string) error {
	sources, err := a.readSources(files)
	if err != nil {
		return err
	}
	ctx, stop := a.untilInterrupt(ctx)
	defer stop()
	builder, err := image.Open(ctx, f.host)
	if err != nil {
		return err
	}
	defer builder.Close()
	var errs []error
	for _, s := range sources {
		if err := a.buildProgdef(ctx, builder, f, s); err != nil {
			errs = append(errs, fmt.Errorf("build %s: %w", s.path, err))
		}
	}
	return errors.Join(errs...)
}

// readSources reads all documents. If one is invalid, nothing is built.
func (a *app) readSources(files []string) ([]source, error) {
	var sources []source
	var errs []error
	for _, path := range files {
		s, err := a.readSource(path)
		var problems problem.List
		switch {
		case errors.As(err, &problems):
			errs = append(errs, a.tellRefused("progdef", path, problems))
		case err != nil:
			errs = append(errs, fmt.Errorf("build %s: %w", path, err))
		default:
			sources = append(sources, s)
		}
	}
	return sources, errors.Join(errs...)
}

// readSource reads one document. Its current image is ignored: it will be replaced.
func (a *app) readSource(path string) (source, error) {
	s := source{path: path}
	in := a.In
	if path != stdin {
		f, err := os.Open(path)
		if err != nil {
			return s, usage(err)
		}
		defer f.Close()
		in = f
	}
	limits := document.DefaultLimits()
	var err error
	if s.text, err = io.ReadAll(io.LimitReader(in, int64(limits.Bytes)+1)); err != nil {
		return s, err
	}
	doc, err := docfile.Read(bytes.NewReader(s.text), path)
	if err != nil {
		return s, err
	}
	raw := doc.JSON
	if imagined, err := withImage(raw, "yet-to-be-built"); err == nil {
		raw = imagined
	}
	var problems problem.List
	if s.doc, problems = progdef.Check(raw, limits); len(problems) > 0 {
		return s, doc.Locate(problems)
	}
	if s.doc.Build == nil {
		return s, &exit{ExitRejected, fmt.Errorf("progdef %s has no field `build`", s.doc.Name)}
	}
	_, err = pinImage(s.text, s.doc.Image) // it must not fail after the build
	return s, err
}

// buildProgdef builds the image of one document, and prints it.
func (a *app) buildProgdef(ctx context.Context, b *image.Builder, f buildFlags, s source) error {
	built, err := b.Build(ctx, f.spec(s), a.Err)
	if err != nil {
		return err
	}
	s.doc.Image = built.Pinned
	if s.text, err = pinImage(s.text, built.Pinned); err != nil {
		return err
	}
	if f.write {
		if err := replaceFile(s.path, s.text); err != nil {
			return err
		}
	}
	return a.tellBuilt(s, built, f.write)
}

func pinImage(text []byte, pinned string) ([]byte, error) {
	return docfile.Set(text, "image", pinned, "build")
}

// spec returns the build of a document, with the flags applied.
func (f buildFlags) spec(s source) image.Spec {
	build := *s.doc.Build
	build.Args = maps.Clone(build.Args)
	for _, arg := range f.args {
		if build.Args == nil {
			build.Args = make(map[string]string)
		}
		name, value, _ := strings.Cut(arg, "=")
		build.Args[name] = value
	}
	return image.Spec{
		Progdef: s.doc.Name, Dir: filepath.Dir(s.path), Build: build,
		Name: cmp.Or(f.push+f.tag, "dagyo-"+s.doc.Name), Push: f.push != "",
		ContextBytes: f.contextBytes,
	}
}

// tellBuilt prints the image, and the document unless it was written to its file.
func (a *app) tellBuilt(s source, built image.Image, written bool) error {
	if a.json() {
		doc, err := docfile.Read(bytes.NewReader(s.text), s.path)
		if err != nil {
			return err
		}
		return a.printJSON(map[string]any{
			"file": s.path, "progdef": s.doc.Name, "revision": s.doc.Revision(),
			"image": built.Pinned, "id": built.ID, "tag": built.Name, "document": json.RawMessage(doc.JSON),
		})
	}
	fmt.Fprintf(a.Err, "progdef %s: image %s is %s\n", s.doc.Name, built.Name, built.Pinned)
	if written {
		return nil
	}
	_, err := a.Out.Write(s.text)
	return err
}

// replaceFile replaces a file, or that to which a symbolic link refers.
func replaceFile(path string, text []byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return atomicwriter.WriteFile(path, text, info.Mode().Perm())
}
