package keyring

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/tenancy"
)

// An Issuer is all that is needed to sign the credentials of one role: for a service that must not have the other keys.
type Issuer struct {
	Role   access.Role `json:"role"`
	Secret []byte      `json:"secret"`
	// Tenants are those that it can sign for without asking NATS which ones there are.
	Tenants []tenancy.Tenant `json:"tenants,omitempty"`
	// Registry is the credential to ask NATS with, as the content of a credentials file.
	Registry string `json:"registry,omitempty"`
}

// Issuer returns the issuer of a role, for the default tenant.
func (k *Keyring) Issuer(r access.Role) (*Issuer, error) {
	secret, err := k.Secret(r)
	if err != nil {
		return nil, err
	}
	x, err := k.Tenant(DefaultTenant)
	if err != nil {
		return nil, err
	}
	t, err := k.tenancy(x)
	return &Issuer{Role: r, Secret: secret[:], Tenants: []tenancy.Tenant{t}}, err
}

// Server returns what a service of all tenants needs: the issuer of its role, with a credential for the registry.
func (k *Keyring) Server(r access.Role) (*Issuer, error) {
	secret, err := k.Secret(r)
	if err != nil {
		return nil, err
	}
	registry, err := k.IssueSystem(access.Registry, time.Time{})
	return &Issuer{Role: r, Secret: secret[:], Registry: string(registry)}, err
}

// Serves reports whether an Issuer is as Server would make it now.
func (k *Keyring) Serves(i *Issuer) (bool, error) {
	secret, err := k.Secret(i.Role)
	if err != nil {
		return false, err
	}
	system, err := k.system.PublicKey()
	if err != nil {
		return false, err
	}
	h, _, err := access.Read([]byte(i.Registry)) // it has no role
	return err == nil && h.Signer == system && bytes.Equal(i.Secret, secret[:]), nil
}

// ReadIssuer reads an issuer from a file.
func ReadIssuer(path string) (*Issuer, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the keys of a role: %w", err)
	}
	out, ok := ParseIssuer(raw)
	if !ok {
		return nil, fmt.Errorf("%s does not contain the keys of a role: `dagyo init auth` makes such a file", path)
	}
	return out, nil
}

// ParseIssuer reads the content of an issuer's file.
func ParseIssuer(raw []byte) (*Issuer, bool) {
	out := new(Issuer)
	err := json.Unmarshal(raw, out)
	return out, err == nil && slices.Contains(access.Roles(), out.Role) && len(out.Secret) == len(access.Secret{})
}

// Issue returns a credential of the issuer's role in one of its tenants, as the content of a credentials file. The role
// and the account in c are set here.
func (i *Issuer) Issue(tenant string, c access.Credential) ([]byte, error) {
	for _, t := range i.Tenants {
		if t.Name == tenant {
			return i.IssueIn(t, c)
		}
	}
	return nil, fmt.Errorf("tenant %q is not among those of the keys", tenant)
}

// IssueIn returns a credential of the issuer's role in a tenant that NATS has named.
func (i *Issuer) IssueIn(t tenancy.Tenant, c access.Credential) ([]byte, error) {
	c.Role = i.Role
	return t.Issue(access.Secret(i.Secret), c)
}
