package local

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
)

// keysDir is the folder of the keys in the data directory, personFile the credentials of who started Dagyo.
const (
	keysDir    = "keys"
	personFile = "dagyo.creds"
)

// Keys returns the folder with the keys in a data directory.
func Keys(data string) string { return filepath.Join(data, keysDir) }

// openKeys opens the keys in the data directory, and issues the credentials of who started Dagyo.
func (l *Local) openKeys() (*keyring.Trust, error) {
	var err error
	if l.keys, err = keyring.Open(Keys(l.config.Dir)); err != nil {
		return nil, err
	}
	trust, err := l.keys.Trust()
	if err != nil {
		return nil, err
	}
	l.person, err = l.keys.Issue(keyring.DefaultTenant, access.Credential{Role: access.Operator, Name: person(l.config.Source)})
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(l.Credentials(), l.person, 0o600); err != nil {
		return nil, fmt.Errorf("write the credentials: %w", err)
	}
	return &trust, nil
}

// person returns a name for the user that a source such as "/dagyo/cli/ada" ends in. Characters that names do not have
// become dashes.
func person(source string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '-'
	}, strings.ToLower(source[strings.LastIndexByte(source, '/')+1:]))
	if name = strings.Trim(name[:min(len(name), 63)], "-_"); name == "" {
		return "me"
	}
	return name
}

// Credentials is the file with the credentials of who started Dagyo.
func (l *Local) Credentials() string { return filepath.Join(l.config.Dir, keysDir, personFile) }

// connect connects a service.
func (l *Local) connect(ctx context.Context, r access.Role) (*broker.Link, error) {
	credentials, err := l.keys.Issue(keyring.DefaultTenant, access.Credential{Role: r, Name: string(r)})
	if err != nil {
		return nil, err
	}
	return broker.Connect(ctx, broker.Options{URL: l.URL(), Name: string(r), Credentials: credentials, Wait: startTimeout})
}

// issue returns the credentials of an executor.
func (l *Local) issue(executor, mailbox string) ([]byte, error) {
	return l.keys.Issue(keyring.DefaultTenant, access.Credential{Role: access.Executor, Name: executor, Mailbox: mailbox})
}
