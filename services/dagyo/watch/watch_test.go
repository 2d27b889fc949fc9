package watch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replace writes a file at once.
func replace(t *testing.T, path, text string) {
	t.Helper()
	hidden := filepath.Join(filepath.Dir(path), ".part")
	write(t, hidden, text)
	if err := os.Rename(hidden, path); err != nil {
		t.Error(err)
	}
}

func watching(t *testing.T, dir string) *Watcher {
	t.Helper()
	w, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func taken(t *testing.T, w *Watcher) Snapshot {
	t.Helper()
	s, err := w.Take()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhatIsWatched(t *testing.T) {
	dir := t.TempDir()
	for _, path := range []string{
		"main.go", "tests/a/flow.yaml", "a~", "x.swp", ".git/HEAD", ".env", "bin/program", "sub/node_modules/x.js", "run.log", "bind/x",
	} {
		write(t, filepath.Join(dir, path), "x")
	}
	w := watching(t, dir)
	got := taken(t, w).Changed(nil)
	if want := []string{"bind/x", "main.go", "tests/a/flow.yaml"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A change is seen in a folder that is new, and what stays the same is none.
func TestNext(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a"), "1")
	write(t, filepath.Join(dir, "b"), "1")
	w := watching(t, dir)
	last := taken(t, w)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, step := range []struct {
		do   func()
		want []string
	}{
		{func() { replace(t, filepath.Join(dir, "a"), "1"); replace(t, filepath.Join(dir, "new/c"), "1") }, []string{"new/c"}},
		{func() { replace(t, filepath.Join(dir, "new/c"), "2") }, []string{"new/c"}},
		{func() { _ = os.Remove(filepath.Join(dir, "b")) }, []string{"b"}},
		{func() { _ = os.Rename(filepath.Join(dir, "new"), filepath.Join(dir, "old")) }, []string{"new/c", "old/c"}},
	} {
		done := make(chan struct{})
		go func() { defer close(done); step.do() }()
		now, err := w.Next(ctx, last)
		<-done
		for err == nil && !slices.Equal(now.Changed(last), step.want) { // it looked before all was done
			now, err = w.Next(ctx, now)
		}
		if err != nil {
			t.Fatalf("%q: %v", step.want, err)
		}
		last = now
	}
}

func TestNextEndsWithItsContext(t *testing.T) {
	w := watching(t, t.TempDir())
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	if _, err := w.Next(ctx, Snapshot{}); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
}

func TestIgnore(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "out"), "1")
	w := watching(t, dir)
	last := taken(t, w)
	w.Ignore("out")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errQuiet)
	if now, err := w.Next(ctx, last); !errors.Is(err, errQuiet) {
		t.Errorf("what is ignored counts as a change: %v, %v", now, err)
	}
}

// An empty project has a first snapshot, too.
func TestTheFirstSnapshot(t *testing.T) {
	w := watching(t, t.TempDir())
	if now, err := w.Next(t.Context(), nil); err != nil || now == nil || len(now) > 0 {
		t.Errorf("got %v, %v", now, err)
	}
}

// The content of a file that is left out is no reason to read all files again, but a new folder is, whatever its name.
func TestNotificationsThatAreLeftOut(t *testing.T) {
	w := watching(t, t.TempDir())
	w.Ignore("out")
	for _, tt := range []struct {
		name string
		op   fsnotify.Op
		want bool
	}{
		{"run.log", fsnotify.Write, true},
		{"out", fsnotify.Write | fsnotify.Chmod, true},
		{"run.log", fsnotify.Create | fsnotify.Write, false},
		{"main.go", fsnotify.Write, false},
	} {
		if got := w.leavesOut(fsnotify.Event{Name: filepath.Join(w.dir, tt.name), Op: tt.op}); got != tt.want {
			t.Errorf("%s of %s: got %v", tt.op, tt.name, got)
		}
	}
}

func TestDigest(t *testing.T) {
	all := func(string) bool { return true }
	a := Snapshot{"a": "1", "b": "2"}
	if a.Digest(all) == (Snapshot{"a": "1", "b": "3"}).Digest(all) {
		t.Error("a changed file does not change the digest")
	}
	if only := func(path string) bool { return path == "a" }; a.Digest(only) != (Snapshot{"a": "1", "b": "3"}).Digest(only) {
		t.Error("a file that does not count changes the digest")
	}
}
