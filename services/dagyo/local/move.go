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

// moveStreams moves the streams of version 0.1, which had no accounts, to the account of the default tenant's services.
// The server must not run. It can be interrupted at any time, and goes on at the next start.
func moveStreams(store, account string) error {
	jetstream := filepath.Join(store, "jetstream")
	from := filepath.Join(jetstream, globalAccount, "streams")
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
