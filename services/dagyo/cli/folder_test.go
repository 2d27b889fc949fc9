package cli

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// A command deletes what a killed one left, and nothing else.
func TestFoldersOfKilledCommandsAreDeleted(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	killed, err := newFolder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(killed.path, "nats")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	used, err := newFolder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !exists(data) {
		t.Fatal("a folder was deleted that another command uses")
	}
	elsewhere, linked := t.TempDir(), filepath.Join(dir, folderPrefix+"link")
	if err := os.Symlink(elsewhere, linked); err != nil {
		t.Fatal(err)
	}
	others := filepath.Join(dir, "dagyo-other")
	if err := os.Mkdir(others, 0o700); err != nil {
		t.Fatal(err)
	}

	_ = killed.lock.Close() // as the system does
	last, err := newFolder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if exists(killed.path) {
		t.Error("the folder of a killed command is left")
	}
	for _, path := range []string{used.path, last.path, linked, elsewhere, others} {
		if !exists(path) {
			t.Errorf("%s was deleted", path)
		}
	}
	for _, f := range []folder{used, last} {
		if err := f.remove(); err != nil || exists(f.path) {
			t.Errorf("%s is left: %v", f.path, err)
		}
	}
}

// Commands that start and are killed at the same time keep their own folders.
func TestFoldersOfManyCommands(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var commands sync.WaitGroup
	for range 4 {
		commands.Go(func() {
			for range 20 {
				f, err := newFolder(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				if err := os.WriteFile(filepath.Join(f.path, "data"), nil, 0o600); err != nil {
					t.Error(err)
				}
				_ = f.lock.Close()
			}
		})
	}
	commands.Wait()
	last, err := newFolder(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if all, err := os.ReadDir(os.TempDir()); err != nil || len(all) != 1 {
		t.Errorf("%d folders are left, %v", len(all), err)
	}
	if err := last.remove(); err != nil {
		t.Error(err)
	}
}
