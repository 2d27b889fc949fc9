package process

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

	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// envFileLimit bounds a file of EnvDir, in octets; Kubernetes has the same limit.
const envFileLimit = 1 << 20

// An environ is an environment by variable.
type environ map[string]string

func (e environ) add(vars map[string]string) { maps.Copy(e, vars) }

// list returns the environment as the system takes it, sorted.
func (e environ) list() []string {
	out := make([]string, 0, len(e))
	for _, name := range slices.Sorted(maps.Keys(e)) {
		out = append(out, name+"="+e[name])
	}
	return out
}

// inherited is what an executor sees of the spawner's own environment. The rest may hold the
// spawner's secrets.
func inherited() environ {
	e := environ{}
	for _, name := range []string{"PATH", "HOME", "LANG", "TMPDIR", "TZ", "USER"} {
		if v, ok := os.LookupEnv(name); ok {
			e[name] = v
		}
	}
	return e
}

// environ builds an executor's environment. Later wins: the spawner's own, Config.Env, the
// progdef's envFrom in its order, the progdef's env (so Kubernetes has it, too), what Dagyo adds.
func (c Config) environ(spec backend.Spec) (environ, error) {
	e := inherited()
	e.add(c.Env)
	for i, source := range spec.Document.EnvFrom {
		vars, err := c.envFrom(source)
		if err != nil {
			return nil, refused(problem.Problem{
				Pointer: problem.Pointer("envFrom", strconv.Itoa(i)),
				Message: err.Error(),
				Hint:    "the process backend reads KEY=VALUE lines; # begins a comment line",
			})
		}
		e.add(vars)
	}
	e.add(spec.Document.Env)
	e.add(spec.Env)
	return e, nil
}

// envFrom reads one named set. Its errors never hold a value.
func (c Config) envFrom(source progdef.EnvSource) (environ, error) {
	kind, file := "secret", "secrets/"+source.Secret+".env"
	name := source.Secret
	if source.ConfigMap != "" {
		kind, file = "config map", "configmaps/"+source.ConfigMap+".env"
		name = source.ConfigMap
	}
	if c.EnvDir == "" {
		return nil, fmt.Errorf("the spawner has no folder of environment files (EnvDir), "+
			"so the %s %q cannot be read", kind, name)
	}
	// In the root: a name such as "../x" must not reach other files.
	f, err := os.OpenInRoot(c.EnvDir, file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the %s %q needs the file %s in %s, and it is missing",
			kind, name, file, c.EnvDir)
	}
	if err != nil {
		return nil, fmt.Errorf("the %s %q cannot be read: %w", kind, name, err)
	}
	defer f.Close()
	vars, err := parseEnv(io.LimitReader(f, envFileLimit+1))
	if err != nil {
		return nil, fmt.Errorf("the file %s of the %s %q: %w", file, kind, name, err)
	}
	return vars, nil
}

// parseEnv reads KEY=VALUE lines. A value is taken as it stands, quotes and all.
func parseEnv(r io.Reader) (environ, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if len(text) > envFileLimit {
		return nil, fmt.Errorf("larger than %d octets", envFileLimit)
	}
	e := environ{}
	n := 0
	for line := range strings.Lines(string(text)) {
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
		e[name] = value
	}
	return e, nil
}
