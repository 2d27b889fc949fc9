// Package scaffold writes new projects: a program with its progdef, a flow, a test case and a Dockerfile. The files are
// templates, and are complete: what is written works without an edit.
package scaffold

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/dagyo/dagyo/pkg/document"
)

//go:embed templates
var templates embed.FS

// A Kind is what the program of a project is written in.
type Kind string

// The kinds of projects.
const (
	Go      Kind = "go"
	Python  Kind = "python"
	Command Kind = "command"
)

// A Project is what to write.
type Project struct {
	Kind Kind
	// Dir is the folder; it is created if it does not exist.
	Dir string
	// Name is the name of the progdef.
	Name string
	// SDK is the path of a checkout of Dagyo; not used by commands.
	SDK string
}

// ErrExists is returned with the files that are there already. Nothing was written then.
var ErrExists = errors.New("files are not overwritten")

// Write writes all files of a project, and returns their paths relative to its folder.
func Write(p Project) ([]string, error) {
	files, err := p.files()
	if err != nil {
		return nil, err
	}
	var names, present []string
	for name := range files {
		names = append(names, name)
		if _, err := os.Lstat(filepath.Join(p.Dir, name)); err == nil {
			present = append(present, name)
		}
	}
	slices.Sort(names)
	if slices.Sort(present); len(present) > 0 {
		return nil, fmt.Errorf("%w, and %s has %s: nothing was written", ErrExists, p.Dir, strings.Join(present, ", "))
	}
	for _, name := range names {
		if err := create(filepath.Join(p.Dir, name), files[name]); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// create writes a file that does not exist.
func create(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

// files returns the content of each file, by its path.
func (p Project) files() (map[string][]byte, error) {
	if !document.ValidName(p.Name) {
		return nil, fmt.Errorf("%s is not a name for a progdef: a name has 1 to 63 characters of a-z, 0-9, - and _, "+
			"and starts and ends with a letter or digit: set one with --name", document.Quote(p.Name))
	}
	out := make(map[string][]byte)
	for _, kind := range []string{"common", string(p.Kind)} {
		if err := p.fill(path.Join("templates", kind), out); err != nil {
			return nil, err
		}
	}
	for _, kind := range []string{"flow", "progdef", "test"} {
		schema, err := document.Schema(kind)
		if err != nil {
			return nil, err
		}
		out["schemas/"+kind+".schema.json"] = append(schema, '\n')
	}
	if p.Kind != Go {
		return out, nil
	}
	var err error
	out["go.mod"], out["go.sum"], err = p.module()
	return out, err
}

// fill executes the templates below a folder.
func (p Project) fill(dir string, out map[string][]byte) error {
	return fs.WalkDir(templates, dir, func(at string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := fs.ReadFile(templates, at)
		if err != nil {
			return err
		}
		t, err := template.New(at).Option("missingkey=error").Parse(string(text))
		if err != nil {
			return err
		}
		var b bytes.Buffer
		err = t.Execute(&b, map[string]string{"Name": p.Name, "SDK": filepath.ToSlash(p.SDK), "Command": p.command()})
		out[p.path(strings.TrimPrefix(at, dir+"/"))] = b.Bytes()
		return err
	})
}

// path returns the path of a template's file. Names that begin with a dot are not embedded.
func (p Project) path(at string) string {
	at = strings.ReplaceAll(strings.TrimSuffix(at, ".tmpl"), "NAME", p.Name)
	if rest, ok := strings.CutPrefix(at, "dot-"); ok {
		return "." + rest
	}
	return at
}

// command is that of the progdef, as YAML.
func (p Project) command() string {
	switch p.Kind {
	case Go:
		return "[../bin/" + p.Name + "]"
	case Python:
		return "[../.venv/bin/python, ../redact.py]"
	default:
		return "[dagyo, exec, --, sh, ../redact.sh]"
	}
}
