// Package watch waits for changes of the files of a project. The content of the files decides: notifications of the
// system only say when to look, so that a file that is written without a change is none, and a lost one is harmless.
package watch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Limits of a project.
const (
	MaxFiles = 20_000
	// hashed is the size up to which the content of a file is compared; larger files are compared by size and time.
	hashed = 4 << 20
)

const (
	// settle is how long no file may change before a change counts.
	settle = 100 * time.Millisecond
	// maxSettles bounds how often that is tried.
	maxSettles = 10
	// maxNotifications bounds how many notifications in a row are awaited.
	maxNotifications = 10_000
)

// A Snapshot is the state of all files: a digest for each path, relative to the folder.
type Snapshot map[string]string

// Changed returns the paths that differ from an earlier snapshot, sorted.
func (s Snapshot) Changed(since Snapshot) []string {
	changed := make(map[string]bool)
	for path, digest := range s {
		if since[path] != digest {
			changed[path] = true
		}
	}
	for path := range since {
		if _, still := s[path]; !still {
			changed[path] = true
		}
	}
	return slices.Sorted(maps.Keys(changed))
}

// Digest identifies the state of the files that counts accepts.
func (s Snapshot) Digest(counts func(path string) bool) string {
	sum := sha256.New()
	for _, path := range slices.Sorted(maps.Keys(s)) {
		if counts(path) {
			fmt.Fprintf(sum, "%s\x00%s\n", path, s[path])
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// A Watcher watches the files in a folder and below. Hidden files, and what programs of development write, are left out.
type Watcher struct {
	dir     string
	notify  *fsnotify.Watcher
	ignored map[string]bool
}

// New starts watching. The caller must close the Watcher.
func New(dir string) (*Watcher, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", dir, err)
	}
	return &Watcher{dir: dir, notify: notify, ignored: make(map[string]bool)}, nil
}

// Close stops watching.
func (w *Watcher) Close() error { return w.notify.Close() }

// Ignore leaves a file, or a folder, out of the snapshots to come.
func (w *Watcher) Ignore(path string) { w.ignored[path] = true }

// Next waits until the files differ from a snapshot and have stopped changing, and returns the new one. If there is no
// snapshot yet, it returns the first.
func (w *Watcher) Next(ctx context.Context, last Snapshot) (Snapshot, error) {
	for {
		now, err := w.Take()
		if err == nil && (last == nil || len(now.Changed(w.Watched(last))) > 0) {
			return w.settled(ctx, now)
		}
		if err == nil {
			err = w.one(ctx, nil)
		}
		if err != nil {
			return nil, err
		}
	}
}

// settled returns the state of the files when they have stopped changing: an editor may be writing one.
func (w *Watcher) settled(ctx context.Context, now Snapshot) (Snapshot, error) {
	for range maxSettles {
		before := now
		err := w.quiet(ctx)
		if err == nil {
			now, err = w.Take()
		}
		if err != nil || len(now.Changed(before)) == 0 {
			return now, err
		}
	}
	return now, nil // a file that is always written must not hold up the others
}

// quiet waits until there are no notifications for a moment.
func (w *Watcher) quiet(ctx context.Context) error {
	for range maxNotifications {
		over := time.NewTimer(settle)
		err := w.one(ctx, over.C)
		over.Stop()
		if errors.Is(err, errQuiet) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Watched returns a snapshot without what is ignored by now.
func (w *Watcher) Watched(s Snapshot) Snapshot {
	s = maps.Clone(s)
	maps.DeleteFunc(s, func(path, _ string) bool { return w.ignored[path] })
	return s
}

// errQuiet is returned if nothing has changed for a while.
var errQuiet = errors.New("nothing has changed")

// one waits for one notification.
func (w *Watcher) one(ctx context.Context, quiet <-chan time.Time) error {
	for {
		select {
		case e := <-w.notify.Events:
			if !w.leavesOut(e) {
				return nil
			}
		case err := <-w.notify.Errors:
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				return nil
			}
			return fmt.Errorf("watch %s: %w", w.dir, err)
		case <-quiet:
			return errQuiet
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// leavesOut reports whether a notification is about the content of a file that is left out: a log that grows must not
// make the Watcher read all files again.
func (w *Watcher) leavesOut(e fsnotify.Event) bool {
	content := e.Op&^(fsnotify.Write|fsnotify.Chmod) == 0
	return content && (skippedFile(filepath.Base(e.Name)) || w.ignores(e.Name))
}

// Take returns the present state of the files. It watches all folders before it reads what is in them.
func (w *Watcher) Take() (Snapshot, error) {
	out := make(Snapshot)
	err := filepath.WalkDir(w.dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && path != w.dir:
			return nil // it was removed meanwhile
		case err != nil:
			return err
		case path != w.dir && (skipped(e) || w.ignores(path)):
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		case e.IsDir():
			if err := w.notify.Add(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("watch %s: %w", path, err)
			}
			return nil
		case !e.Type().IsRegular():
			return nil
		case len(out) == MaxFiles:
			return fmt.Errorf("%s has more than %d files: name the folder of the project", w.dir, MaxFiles)
		}
		return w.add(out, path)
	})
	return out, err
}

func (w *Watcher) ignores(path string) bool {
	name, err := filepath.Rel(w.dir, path)
	return err == nil && w.ignored[name]
}

func (w *Watcher) add(out Snapshot, path string) error {
	name, err := filepath.Rel(w.dir, path)
	if err != nil {
		return err
	}
	digest, err := Digest(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	out[name] = digest
	return err
}

// outputs are the names of folders that programs write.
var outputs = []string{"bin", "build", "dist", "target", "node_modules", "wheels", "__pycache__"}

// skipped reports whether a file or a folder is not part of the source of a project.
func skipped(e fs.DirEntry) bool {
	if !e.IsDir() {
		return skippedFile(e.Name())
	}
	return strings.HasPrefix(e.Name(), ".") || slices.Contains(outputs, e.Name())
}

// temporary are the endings of files that editors and programs write.
var temporary = []string{"~", ".swp", ".tmp", ".pyc", ".log"}

func skippedFile(name string) bool {
	return strings.HasPrefix(name, ".") || slices.ContainsFunc(temporary, func(end string) bool { return strings.HasSuffix(name, end) })
}

// Digest identifies the content of a file; of a large one, its size and time.
func Digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	if info.Size() > hashed {
		return fmt.Sprintf("%d bytes, %d", info.Size(), info.ModTime().UnixNano()), nil
	}
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return hex.EncodeToString(sum.Sum(nil)), err
}
