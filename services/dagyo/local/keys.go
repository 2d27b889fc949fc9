package local

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/sys/atomicwriter"
	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/services/dagyo/client"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
)

// personFile has the credentials of who started Dagyo.
const personFile = "dagyo.creds"

// openKeys opens the keys in the data directory, and issues the credentials of who started Dagyo.
func (l *Local) openKeys() (*keyring.Trust, error) {
	var err error
	if l.keys, err = keyring.Open(keyring.In(l.config.Dir)); err != nil {
		return nil, err
	}
	trust, err := l.keys.Trust()
	if err != nil {
		return nil, err
	}
	person, err := l.issuePerson(keyring.DefaultTenant)
	if err != nil {
		return nil, err
	}
	if err := atomicwriter.WriteFile(l.Credentials(), person, 0o600); err != nil {
		return nil, fmt.Errorf("write the credentials: %w", err)
	}
	return &trust, nil
}

// issuePerson returns credentials of who started Dagyo, as an operator of a tenant.
func (l *Local) issuePerson(tenant string) ([]byte, error) {
	return l.keys.Issue(tenant, access.Credential{Role: access.Operator, Name: person(l.config.Source)})
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
func (l *Local) Credentials() string { return filepath.Join(keyring.In(l.config.Dir), personFile) }

// connect connects who started Dagyo to a tenant.
func (l *Local) connect(ctx context.Context, tenant string) (*client.Client, error) {
	credentials, err := l.issuePerson(tenant)
	if err != nil {
		return nil, err
	}
	return client.Connect(ctx, client.Options{URL: l.URL(), Credentials: credentials, Source: l.config.Source})
}

// publishTenants makes the server know the tenants of the keyring, before services start.
func (l *Local) publishTenants(ctx context.Context) error {
	link, err := connectSystem(ctx, l.keys, l.URL(), access.Landlord)
	if err != nil {
		return err
	}
	defer link.Close()
	err = l.keys.Publish(ctx, link.Conn)
	if single := new(keyring.TenantError); errors.As(err, &single) {
		l.config.Log.Error().Err(err).Msg("a tenant cannot be served")
	} else if err != nil {
		return err
	}
	return l.keys.Clear(ctx, link.Conn)
}

// landlordTime is how long the credential of a landlord is valid: it is used at once.
const landlordTime = 10 * time.Minute

// connectSystem connects to the server's own account.
func connectSystem(ctx context.Context, keys *keyring.Keyring, url string, r access.SystemRole) (*broker.Link, error) {
	var expires time.Time
	if r == access.Landlord {
		expires = time.Now().Add(landlordTime)
	}
	credentials, err := keys.IssueSystem(r, expires)
	if err != nil {
		return nil, err
	}
	return broker.Connect(ctx, broker.Options{
		URL: url, Name: string(r), Credentials: credentials, Wait: startTimeout,
		Extra: []nats.Option{nats.CustomInboxPrefix(r.Inbox())},
	})
}
