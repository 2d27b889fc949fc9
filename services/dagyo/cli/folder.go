package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/dagyo/dagyo/services/dagyo/local"
)

// folderPrefix begins the names of temporary folders, each of which is locked by the command that uses it.
const folderPrefix = "dagyo-temp-"

// A folder is the temporary folder of a command. The system releases its lock when the command exits for any reason, so
// that another command can delete what a killed one left.
type folder struct {
	path string
	lock *os.File
}

// newFolder creates a temporary folder, and deletes those of killed commands.
func newFolder(ctx context.Context) (folder, error) {
	sweepFolders(ctx)
	for {
		path, err := os.MkdirTemp("", folderPrefix)
		if err != nil {
			return folder{}, err
		}
		lock, err := lockFolder(path)
		switch {
		case err != nil:
			return folder{}, errors.Join(err, os.RemoveAll(path))
		case lock != nil:
			return folder{path, lock}, nil
		}
		// Another command has swept it, before it was locked.
	}
}

// remove deletes the folder.
func (f folder) remove() error { return errors.Join(os.RemoveAll(f.path), f.lock.Close()) }

// lockFolder locks a folder. It returns nil if another command has the lock, or has deleted the folder.
func lockFolder(path string) (*os.File, error) {
	f, err := os.OpenFile(path, unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil && isAt(f, path) {
		return f, nil
	}
	_ = f.Close() // nothing was written
	if err == nil || errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, fmt.Errorf("lock %s: %w", path, err)
}

// isAt reports whether a path still leads to an open file.
func isAt(f *os.File, path string) bool {
	opened, err := f.Stat()
	if err != nil {
		return false
	}
	found, err := os.Lstat(path)
	return err == nil && os.SameFile(opened, found)
}

// sweepFolders deletes the temporary folders that killed commands of this user left, except where their executors are
// still running.
func sweepFolders(ctx context.Context) {
	all, _ := os.ReadDir(os.TempDir()) // creating a folder reports an error
	for _, entry := range all {
		if !strings.HasPrefix(entry.Name(), folderPrefix) || !entry.IsDir() {
			continue
		}
		path := filepath.Join(os.TempDir(), entry.Name())
		lock, err := lockFolder(path)
		if err != nil || lock == nil {
			continue
		}
		if isOurs(lock) {
			if running, err := local.Running(ctx, path); err == nil && !running {
				_ = os.RemoveAll(path) // the next command tries again
			}
		}
		_ = lock.Close()
	}
}

// isOurs reports whether a file belongs to this user.
func isOurs(f *os.File) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(s.Uid) == os.Geteuid()
}
