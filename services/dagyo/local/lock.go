package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// takeLock creates the directory and takes its lock. The system releases the lock when the process exits for any
// reason.
func takeLock(dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the data directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("%w: %s is used by %s; stop it, or set another --data",
			ErrInUse, dir, holder(f))
	}
	if err == nil {
		err = sign(f)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// Occupy takes the lock of a data directory, or returns the address of the server if Dagyo runs there.
func Occupy(ctx context.Context, dir string) (lock io.Closer, url string, err error) {
	for ctx.Err() == nil {
		taken, err := takeLock(dir)
		if err == nil {
			return taken, "", nil
		}
		if !errors.Is(err, ErrInUse) {
			return nil, "", err
		}
		if url, err = address(dir); url != "" || err != nil {
			return nil, url, err
		}
		select { // it is starting or stopping
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return nil, "", context.Cause(ctx)
}

// holder reads the holder of the lock.
func holder(f *os.File) string {
	b, err := io.ReadAll(io.LimitReader(f, 32))
	if pid := strings.TrimSpace(string(b)); err == nil && pid != "" {
		return "another dagyo (process " + pid + ")"
	}
	return "another dagyo"
}

// sign writes the holder of the lock, for error messages only.
func sign(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return fmt.Errorf("lock the data directory: %w", err)
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// addressFile holds the address of the server while Dagyo runs in a data directory.
const addressFile = "address"

func writeAddress(dir, url string) error {
	return os.WriteFile(filepath.Join(dir, addressFile), []byte(url+"\n"), 0o600)
}

func removeAddress(dir string) { _ = os.Remove(filepath.Join(dir, addressFile)) }

// address returns the address of the server, "" if it does not accept connections yet.
func address(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, addressFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return strings.TrimSpace(string(text)), err
}
