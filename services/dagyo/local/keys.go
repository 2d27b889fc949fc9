package local

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/moby/sys/atomicwriter"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/tenancy"
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
	return &trust, l.writePerson()
}

// writePerson issues the credentials of who started Dagyo, an operator of the default tenant.
func (l *Local) writePerson() error {
	file, err := l.keys.Issue(keyring.DefaultTenant, access.Credential{Role: access.Operator, Name: person(l.config.Source)})
	if err == nil {
		err = atomicwriter.WriteFile(l.Credentials(), file, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write the credentials: %w", err)
	}
	return nil
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
	return l.connectAs(ctx, tenant, access.Credential{Role: access.Operator, Name: person(l.config.Source)})
}

func (l *Local) connectAs(ctx context.Context, tenant string, c access.Credential) (*client.Client, error) {
	credentials, err := l.keys.Issue(tenant, c)
	if err != nil {
		return nil, err
	}
	return client.Connect(ctx, client.Options{URL: l.URL(), Access: l.files(), Credentials: credentials, Source: l.config.Source})
}

// publishTenants makes the server know the tenants of the keyring, before services start.
func (l *Local) publishTenants(ctx context.Context) error {
	link, err := ConnectSystem(ctx, l.keys, l.URL(), l.files(), access.Landlord)
	if err != nil {
		return err
	}
	defer link.Close()
	err = l.keys.Publish(ctx, link.Conn, l.files())
	if single := new(keyring.TenantError); errors.As(err, &single) {
		l.config.Log.Error().Err(err).Msg("a tenant cannot be served")
	} else if err != nil {
		return err
	}
	return l.keys.Clear(ctx, link.Conn)
}

// landlordTime is how long the credential of a landlord is valid: it is used at once.
const landlordTime = 10 * time.Minute

// ConnectSystem connects to the server's own account. files say how to connect.
func ConnectSystem(ctx context.Context, keys *keyring.Keyring, url string, files broker.Access, r access.SystemRole) (*broker.Link, error) {
	var expires time.Time
	if r == access.Landlord {
		expires = time.Now().Add(landlordTime)
	}
	credentials, err := keys.IssueSystem(r, expires)
	if err != nil {
		return nil, err
	}
	return tenancy.ConnectSystem(ctx, r, credentials, broker.Options{URL: url, Access: files, Wait: systemWait})
}

// systemWait bounds the wait for a server that should be running.
const systemWait = 10 * time.Second
