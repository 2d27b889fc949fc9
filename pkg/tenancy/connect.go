package tenancy

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/broker"
)

// Connect connects a service to its account of a tenant, with a credential derived from the secret of its role.
func (t Tenant) Connect(ctx context.Context, role access.Role, secret access.Secret, o broker.Options) (*broker.Link, error) {
	credentials, err := t.Issue(secret, access.Credential{Role: role, Name: string(role)})
	if err != nil {
		return nil, fmt.Errorf("issue the credential of the %s: %w", role, err)
	}
	o.Name, o.Credentials = string(role), credentials
	return broker.Connect(ctx, o)
}

// ConnectSystem connects a role to the server's own account, with the content of its credentials file.
func ConnectSystem(ctx context.Context, r access.SystemRole, credentials []byte, o broker.Options) (*broker.Link, error) {
	o.Name, o.Credentials = string(r), credentials
	o.Extra = append(o.Extra, nats.CustomInboxPrefix(r.Inbox()))
	return broker.Connect(ctx, o)
}
