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

// AnnounceAccount makes a NATS server load an account when it starts, before anybody connects. A server that loads an
// account with the first connection removes the new folder of its streams again, to clean up; meanwhile another
// connection may create streams there (nats-server 2.15). It loads those that have a folder which is not empty.
// Accounts that are added while the server runs get their folder from keyring.Keyring.Publish (setUp).
func AnnounceAccount(store, account string) error {
	dir := filepath.Join(store, "jetstream", account)
	err := os.MkdirAll(dir, 0o750)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "dagyo"), []byte("The account of Dagyo's services.\n"), 0o600)
	}
	if err != nil {
		return fmt.Errorf("prepare the folder of the NATS server: %w", err)
	}
	return nil
}
