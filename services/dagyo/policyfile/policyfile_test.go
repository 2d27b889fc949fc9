package policyfile

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/problem"
)

// mount writes a file as Kubernetes mounts a ConfigMap: behind a link to a folder that is replaced.
func mount(t *testing.T, dir, version, text string) {
	t.Helper()
	data := filepath.Join(dir, version)
	err := errors.Join(
		os.MkdirAll(data, 0o755),
		os.WriteFile(filepath.Join(data, "policy.yaml"), []byte(text), 0o600),
		os.Symlink(version, filepath.Join(dir, "new")),
		os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "data")),
	)
	if err != nil {
		t.Fatal(err)
	}
}

func TestChangesAreTakenOver(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "v1", "limits: {maxExecutors: 1}\n")
	path := filepath.Join(dir, "policy.yaml")
	if err := os.Symlink("data/policy.yaml", path); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	f, err := Open(path, false, zerolog.New(&log))
	if err != nil {
		t.Fatal(err)
	}
	want := func(when string, max int, logged ...string) {
		t.Helper()
		if p := f.Current().Get(); *p.Limits.MaxExecutors != max {
			t.Errorf("%s: maxExecutors is %d, want %d", when, *p.Limits.MaxExecutors, max)
		}
		for _, text := range logged {
			if !strings.Contains(log.String(), text) {
				t.Errorf("%s: %q is not logged:\n%s", when, text, &log)
			}
		}
		if len(logged) == 0 && log.Len() > 0 {
			t.Errorf("%s: logged\n%s", when, &log)
		}
		log.Reset()
	}
	f.poll()
	want("unchanged", 1)
	mount(t, dir, "v2", "limits: {maxExecutors: 2}\n")
	f.poll()
	want("before it is known to be complete", 1)
	f.poll()
	want("changed", 2, "has changed")
	mount(t, dir, "v3", "limits:\n  maxExecutors: none\n  minimum: 1\n")
	f.poll()
	f.poll()
	want("broken", 2, "2 problems", "line 2, column 17: /limits/maxExecutors", "line 3, column 3: /limits/minimum", "previous version stays")
	f.poll()
	want("still broken", 2)
	if err := os.Remove(filepath.Join(dir, "data")); err != nil {
		t.Fatal(err)
	}
	f.poll()
	want("deleted", 2, "no such file")
	f.poll()
	want("still deleted", 2)
	mount(t, dir, "v4", "")
	f.poll()
	f.poll()
	want("empty", 2, "empty")
	mount(t, dir, "v2", "limits: {maxExecutors: 2}\n")
	f.poll()
	f.poll()
	want("corrected", 2)
	mount(t, dir, "v3", "limits:\n  maxExecutors: none\n  minimum: 1\n")
	f.poll()
	f.poll()
	want("broken again", 2, "2 problems")
	if err := os.WriteFile(filepath.Join(dir, "v3", "policy.yaml"), bytes.Repeat([]byte("#"), sizeLimit+1), 0o600); err != nil {
		t.Fatal(err)
	}
	f.poll()
	want("too large", 2, "larger than")
}

func TestOpenReportsEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(path, []byte("images:\n  allow: [acme/x]\ncommand: {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Open(path, false, zerolog.Nop())
	var problems problem.List
	if !errors.As(err, &problems) || len(problems) != 2 || problems[0].Line != 3 {
		t.Errorf("%v", err)
	}
	if _, err := Open(path+"x", false, zerolog.Nop()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestWatchEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(path, []byte("standard: [greet]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path, true, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.Watch(ctx)
}
