package keyring

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/tenancy"
)

// An Issuer is all that is needed to sign the credentials of one role: for a service that must not have the other keys.
type Issuer struct {
	Role    access.Role      `json:"role"`
	Secret  []byte           `json:"secret"`
	Tenants []tenancy.Tenant `json:"tenants"`
}

// Issuer returns the issuer of a role, for the tenants that exist.
func (k *Keyring) Issuer(r access.Role) (*Issuer, error) {
	secret, ok := k.roles[r]
	if !ok {
		return nil, fmt.Errorf("there is no role %q", r)
	}
	out := &Issuer{Role: r, Secret: secret[:]}
	all, err := k.Tenants()
	if err != nil {
		return nil, err
	}
	for _, x := range all {
		t, err := k.tenancy(x)
		if err != nil {
			return nil, err
		}
		out.Tenants = append(out.Tenants, t)
	}
	return out, nil
}

// ReadIssuer reads an issuer from a file.
func ReadIssuer(path string) (*Issuer, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the keys of a role: %w", err)
	}
	out := new(Issuer)
	if err := json.Unmarshal(raw, out); err != nil || out.Role == "" || len(out.Secret) != len(access.Secret{}) {
		return nil, fmt.Errorf("%s does not contain the keys of a role: `dagyo init auth` makes such a file", path)
	}
	return out, nil
}

// Issue returns a credential of the issuer's role in a tenant, as the content of a credentials file. The role and the
// account in c are set here.
func (i *Issuer) Issue(tenant string, c access.Credential) ([]byte, error) {
	for _, t := range i.Tenants {
		if t.Name == tenant {
			c.Role = i.Role
			return t.Issue(access.Secret(i.Secret), c)
		}
	}
	return nil, fmt.Errorf("tenant %q is not among those of the keys", tenant)
}
