// Package layout checks the imports of modules, and that decisions are pure (ARCHITECTURE.md, "Modules").
package layout

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const root = "github.com/dagyo/dagyo/"

// may lists, for each module, our modules that it may import, and the heavy dependencies that only it may have.
var may = map[string]struct{ modules, heavy []string }{
	"schemas":                   {},
	"pkg":                       {modules: []string{"schemas"}},
	"executor":                  {modules: []string{"schemas", "pkg"}},
	"services/validator":        {modules: []string{"schemas", "pkg"}},
	"services/planner":          {modules: []string{"schemas", "pkg"}},
	"services/spawner":          {modules: []string{"schemas", "pkg"}, heavy: []string{"k8s.io/", "github.com/moby/"}},
	"services/panic-aggregator": {modules: []string{"schemas", "pkg"}},
	"services/gateway":          {modules: []string{"schemas", "pkg"}},
	"services/dagyo": {
		modules: []string{
			"schemas", "pkg", "executor", "services/validator", "services/planner",
			"services/spawner", "services/panic-aggregator", "services/gateway",
		},
		heavy: []string{
			"github.com/nats-io/nats-server/", "k8s.io/", "github.com/moby/", "go.opentelemetry.io/otel/sdk/", "go.opentelemetry.io/otel/exporters/",
			"github.com/prometheus/",
		},
	},
}

var heavy = []string{
	"github.com/nats-io/nats-server/", "k8s.io/", "github.com/moby/", "go.opentelemetry.io/otel/sdk/", "go.opentelemetry.io/otel/exporters/",
	"github.com/prometheus/",
}

func TestModuleArrows(t *testing.T) {
	for module, allowed := range may {
		t.Run(module, func(t *testing.T) {
			for _, dep := range deps(t, module) {
				if own, ok := strings.CutPrefix(dep, root); ok {
					if m := moduleOf(own); m != module && !slices.Contains(allowed.modules, m) {
						t.Errorf("%s imports %s", module, dep)
					}
				}
				for _, h := range heavy {
					if strings.HasPrefix(dep, h) && !slices.Contains(allowed.heavy, h) {
						t.Errorf("%s pulls in %s", module, dep)
					}
				}
			}
		})
	}
}

// deps lists all packages that the module's packages depend on, including their tests.
func deps(t *testing.T, module string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-test", "./...")
	cmd.Dir = "../../" + module
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list in %s: %v", module, err)
	}
	var list []string
	for line := range strings.Lines(string(out)) {
		if pkg := strings.Fields(line)[0]; !strings.HasSuffix(pkg, ".test") && !strings.HasSuffix(pkg, "_test") {
			list = append(list, pkg)
		}
	}
	return list
}

func moduleOf(pkg string) string {
	for m := range may {
		if pkg == m || strings.HasPrefix(pkg, m+"/") {
			return m
		}
	}
	return pkg
}

// The pure packages and files do no I/O: decisions take no context, clock or randomness.
func TestDecisionsArePure(t *testing.T) {
	for _, pkg := range []string{
		"problem", "document", "progdef", "typedoc", "flow", "flow/unify", "contract", "wire",
	} {
		cmd := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, ".")
		cmd.Dir = "../../pkg/" + pkg
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"context", "net", "os", "math/rand", "math/rand/v2", "log", "log/slog", "github.com/nats-io/nats.go"} {
			if slices.Contains(strings.Split(strings.TrimSpace(string(out)), "\n"), bad) {
				t.Errorf("pkg/%s imports %s", pkg, bad)
			}
		}
	}
	for _, bad := range []string{
		"time.Now", "time.After", "time.Sleep", "time.NewT", `"sync`, "go func", ".Go(", "chan ", `"os"`, `"net`, "math/rand",
		"zerolog", "nats.go", "pkg/broker",
	} { // package core passes contexts on to its log, so it may import context
		cmd := exec.Command("grep", "-rnF", "--include=*.go", "--exclude=*_test.go", "-e", bad,
			"../../pkg/service/core", "../../services/spawner/admission")
		if out, err := cmd.Output(); err == nil {
			t.Errorf("a pure package has %s: %s", bad, out)
		}
	}
	for service, impure := range map[string][]string{ // every other file is pure
		"validator":        {"ask.go", "service.go"},
		"spawner/places":   {"arbiter.go"},
		"planner":          {"constants.go", "releases.go", "service.go", "shards.go", "sweep.go"},
		"spawner":          {"plain.go", "reconcile.go", "service.go"},
		"panic-aggregator": {"ask.go", "look.go", "service.go", "webhooks.go"},
	} {
		files, err := filepath.Glob("../../services/" + service + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatal(service, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") || slices.Contains(impure, filepath.Base(file)) {
				continue
			}
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, bad := range []string{`"context"`, "time.Now", `"os"`, "rand", "zerolog", "nats.go"} {
				if strings.Contains(string(source), bad) {
					t.Errorf("%s has %s", file, bad)
				}
			}
		}
	}
}
