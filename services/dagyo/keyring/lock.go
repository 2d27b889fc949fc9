package keyring

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockPause is the time between two attempts to take the lock.
const lockPause = 50 * time.Millisecond

// Lock waits until no other process changes the keys, and keeps others from it until it is closed.
func (k *Keyring) Lock(ctx context.Context) (io.Closer, error) {
	f, err := os.OpenFile(filepath.Join(k.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	for err == nil {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
			return f, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			break
		}
		select {
		case <-time.After(lockPause):
			err = nil
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
	}
	if f != nil {
		_ = f.Close()
	}
	return nil, fmt.Errorf("lock the keys in %s: %w", k.dir, err)
}
