package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// globalAccount is where nats-server keeps the streams of a server without accounts.
const globalAccount = "$G"

// oldStreams is the folder of the streams of version 0.1, which had no accounts, in that of a NATS server.
func oldStreams(store string) string {
	return filepath.Join(store, "jetstream", globalAccount, "streams")
}

// HasOldStreams reports whether a NATS server's folder has streams of version 0.1.
func HasOldStreams(store string) bool {
	_, err := os.Stat(oldStreams(store))
	return err == nil
}

// MoveStreams moves the streams of version 0.1 to the account of the default tenant's services. The server must not run.
// It can be interrupted at any time, and goes on at the next start.
func MoveStreams(store, account string) error {
	jetstream := filepath.Join(store, "jetstream")
	from := oldStreams(store)
	streams, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	to := filepath.Join(jetstream, account, "streams")
	if err == nil {
		err = os.MkdirAll(to, 0o750)
	}
	for _, s := range streams {
		if err == nil {
			err = os.Rename(filepath.Join(from, s.Name()), filepath.Join(to, s.Name()))
		}
	}
	if err == nil {
		err = os.RemoveAll(filepath.Join(jetstream, globalAccount))
	}
	if err != nil {
		return fmt.Errorf("move the data of version 0.1 to accounts: %w", err)
	}
	return nil
}
