package keyring

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/dagyo/dagyo/pkg/access"
)

// Configuration returns what a nats-server must include in its configuration to check credentials. It contains no
// secrets.
func (k *Keyring) Configuration() ([]byte, error) {
	t, err := k.Trust()
	if err != nil {
		return nil, err
	}
	operator, err := t.Operator.Encode(k.operator)
	if err != nil {
		return nil, fmt.Errorf("sign the operator: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Made by `dagyo init auth`, which replaces it.\noperator: %s\nsystem_account: %s\nresolver: MEMORY\nresolver_preload {\n", operator, t.System)
	for _, account := range slices.Sorted(maps.Keys(t.Accounts)) {
		fmt.Fprintf(&b, "  %s: %s\n", account, t.Accounts[account])
	}
	b.WriteString("}\n")
	return []byte(b.String()), nil
}

// Accepts reports whether the content of a credentials file is for somebody with a role in a tenant, and signed with
// the keys that are now valid.
func (k *Keyring) Accepts(file []byte, tenant string, r access.Role, name string) (bool, error) {
	x, err := k.Tenant(tenant)
	if err != nil {
		return false, err
	}
	t, _, err := k.access(x)
	if err != nil {
		return false, err
	}
	token, err := jwt.ParseDecoratedJWT(file)
	if err != nil {
		return false, nil //nolint:nilerr // it is no credentials file
	}
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil {
		return false, nil //nolint:nilerr // it is no credentials file
	}
	return claims.Issuer == t.Signers[r] && claims.IssuerAccount == t.Accounts[r.Account()] && claims.Name == name &&
		(claims.Expires == 0 || claims.Expires > time.Now().Unix()), nil
}
