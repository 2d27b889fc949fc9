package signin

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/access"
)

// Keys are the path of a file with the keys to issue credentials with. It is read each time: the keys may be replaced.
type Keys string

// ErrNoKey is returned for a role in a tenant that the gateway has no key for.
var ErrNoKey = errors.New("the gateway may not sign persons in with this role")

// ErrStale is returned for a credential that was not issued with the keys that are valid now.
var ErrStale = errors.New("you have not signed in with a provider, or the keys were replaced since: sign in again")

func (k Keys) read() ([]access.SignInKey, error) {
	text, err := os.ReadFile(string(k))
	if err != nil {
		return nil, fmt.Errorf("read the keys of sign-in: %w", err)
	}
	var file struct {
		Keys []access.SignInKey `json:"keys"`
	}
	if err := json.Unmarshal(text, &file); err != nil || file.Keys == nil {
		return nil, fmt.Errorf("%s does not contain keys of sign-in: `dagyo keys sign-in` makes such a file", k)
	}
	return file.Keys, nil
}

// Missing returns the roles of rules that the keys do not allow.
func (k Keys) Missing(rules []Rule) ([]Rule, error) {
	keys, err := k.read()
	if err != nil {
		return nil, err
	}
	var out []Rule
	for _, r := range rules {
		if _, err := find(keys, r.Tenant, r.Role); err != nil {
			out = append(out, r)
		}
	}
	return out, nil
}

func find(keys []access.SignInKey, tenant string, r access.Role) (access.SignInKey, error) {
	for _, key := range keys {
		if key.Tenant == tenant && key.Role == r {
			return key, nil
		}
	}
	return access.SignInKey{}, fmt.Errorf("%w: role %s in tenant %s: its operator can allow it with `dagyo keys sign-in`", ErrNoKey, r, tenant)
}

// Session issues the credentials of a session.
func (k Keys) Session(p Person, expires time.Time) ([]byte, error) {
	keys, err := k.read()
	if err != nil {
		return nil, err
	}
	key, err := find(keys, p.Tenant, p.Role)
	if err != nil {
		return nil, err
	}
	return key.Issue(p.Name, "", expires)
}

// Token issues a personal token to the holder of a session, which NATS has accepted: with the name, the tenant and the role
// of the session.
func (k Keys) Token(h access.Holder, token string, expires time.Time) ([]byte, error) {
	if !strings.HasPrefix(h.Name, access.SignInPrefix) || h.Token != "" {
		return nil, ErrStale
	}
	keys, err := k.read()
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if public, err := key.Public(); err == nil && public == h.Signer && key.Role == h.Role && key.Account == h.Account {
			return key.Issue(h.Name, token, expires)
		}
	}
	return nil, ErrStale
}
