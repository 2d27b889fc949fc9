// Package envset reads the sets of environment variables in a progdef's envFrom from files, for executors outside of
// Kubernetes: secrets/<name>.env and configmaps/<name>.env in one folder, with KEY=VALUE lines. No error of this
// package contains a value.
package envset

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// fileLimit limits a file, in bytes; Kubernetes has the same limit.
const fileLimit = 1 << 20

// Vars maps variables to values.
type Vars map[string]string

// Add sets variables, and replaces existing ones.
func (v Vars) Add(vars map[string]string) { maps.Copy(v, vars) }

// List returns the environment as sorted KEY=VALUE strings.
func (v Vars) List() []string {
	out := make([]string, 0, len(v))
	for _, name := range slices.Sorted(maps.Keys(v)) {
		out = append(out, name+"="+v[name])
	}
	return out
}

// Dir is the folder of the files, or "" for none.
type Dir string

// Environment returns the environment of an executor. It consists of the progdef's envFrom in order, the progdef's env,
// and Dagyo's variables; as in Kubernetes, later values override earlier ones. If a set cannot be read, the error is a
// *backend.StartError.
func (d Dir) Environment(spec backend.Spec) (Vars, error) {
	out := Vars{}
	for i, source := range spec.Document.EnvFrom {
		vars, err := d.read(source)
		if err != nil {
			return nil, &backend.StartError{Problem: problem.Problem{
				Code:    problem.StartRefused,
				Pointer: problem.Pointer("envFrom", strconv.Itoa(i)),
				Message: err.Error(),
				Hint:    "the spawner reads KEY=VALUE lines; # begins a comment line",
			}}
		}
		out.Add(vars)
	}
	secrets := slices.AppendSeq(slices.Clone(spec.Secrets), maps.Keys(out))
	out.Add(spec.Document.Env)
	out.Add(spec.Env)
	if len(secrets) > 0 {
		slices.Sort(secrets)
		out[contract.EnvSecrets] = strings.Join(slices.Compact(secrets), ",")
	}
	return out, nil
}

// read reads one named set.
func (d Dir) read(source progdef.EnvSource) (Vars, error) {
	kind, file := "secret", "secrets/"+source.Secret+".env"
	name := source.Secret
	if source.ConfigMap != "" {
		kind, file = "config map", "configmaps/"+source.ConfigMap+".env"
		name = source.ConfigMap
	}
	if d == "" {
		return nil, fmt.Errorf("the spawner has no folder of environment files (--env-dir), "+
			"so the %s %q cannot be read", kind, name)
	}
	// Read below the root: a name such as "../x" must not reach other files.
	f, err := os.OpenInRoot(string(d), file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the %s %q needs the file %s in %s, which is missing", kind, name, file, d)
	}
	if err != nil {
		return nil, fmt.Errorf("the %s %q cannot be read: %w", kind, name, err)
	}
	defer f.Close()
	vars, err := parse(io.LimitReader(f, fileLimit+1))
	if err != nil {
		return nil, fmt.Errorf("the file %s of the %s %q: %w", file, kind, name, err)
	}
	return vars, nil
}

// parse reads KEY=VALUE lines. Values are taken literally, including quotes.
func parse(r io.Reader) (Vars, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if len(text) > fileLimit {
		return nil, fmt.Errorf("larger than %d bytes", fileLimit)
	}
	out := Vars{}
	n := 0
	for line := range strings.Lines(string(document.TrimBOM(text))) {
		n++
		line = strings.TrimLeft(strings.TrimRight(line, "\r\n"), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok || name == "" || strings.ContainsAny(name, " \t\x00") ||
			strings.ContainsRune(value, 0) {
			return nil, fmt.Errorf("line %d is not of the form KEY=VALUE", n)
		}
		out[name] = value
	}
	return out, nil
}
