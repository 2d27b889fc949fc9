package local

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/contract"
)

// globalAccount is where nats-server keeps the streams of a server without accounts.
const globalAccount = "$G"

// moveStreams moves the streams of version 0.1, which had no accounts, to the accounts of the default tenant. The server
// must not run. It can be interrupted at any time, and goes on at the next start.
func moveStreams(store string, accounts map[access.Account]string) error {
	jetstream := filepath.Join(store, "jetstream")
	from := filepath.Join(jetstream, globalAccount, "streams")
	streams, err := os.ReadDir(from)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, s := range streams {
		to := filepath.Join(jetstream, accounts[accountOf(s.Name())], "streams")
		if err == nil {
			err = os.MkdirAll(to, 0o750)
		}
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

// accountOf returns the account that a stream belongs to.
func accountOf(stream string) access.Account {
	if strings.HasPrefix(stream, contract.EdgeStreamPrefix) || strings.HasPrefix(stream, contract.OldFlowStreamPrefix) ||
		stream == "OBJ_"+contract.BucketData {
		return access.Edges
	}
	return access.Events
}
