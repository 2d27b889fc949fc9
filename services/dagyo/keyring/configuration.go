package keyring

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/nats-io/jwt/v2"

	"github.com/dagyo/dagyo/pkg/access"
)

// Configuration returns what a nats-server must include in its configuration to check credentials. It contains no
// secrets. Beside it, the server must find Preload in the file PreloadFile. accounts is the folder where the server keeps
// what it is told of accounts while it runs; "" if it cannot.
func (k *Keyring) Configuration(accounts string) ([]byte, error) {
	t, err := NewTrust(k.operator, k.system)
	if err != nil {
		return nil, err
	}
	operator, err := t.Operator.Encode(k.operator)
	if err != nil {
		return nil, fmt.Errorf("sign the operator: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Made by `dagyo init auth`, which replaces it.\noperator: %s\nsystem_account: %s\n", operator, t.System)
	if accounts == "" {
		b.WriteString("resolver: MEMORY\n")
	} else {
		fmt.Fprintf(&b, "resolver {\n  type: full\n  dir: %q\n  allow_delete: true\n  hard_delete: true\n  interval: \"1m\"\n  timeout: \"1s\"\n}\n", accounts)
	}
	fmt.Fprintf(&b, "include %s\n", PreloadFile)
	return []byte(b.String()), nil
}

// PreloadFile is the name of the file with Preload.
const PreloadFile = "accounts.conf"

// Preload returns the accounts that a server knows when it starts, as a part of its configuration.
func (k *Keyring) Preload() ([]byte, error) {
	t, err := k.Trust()
	if err != nil {
		return nil, err
	}
	for _, r := range t.records {
		t.Accounts[r.key] = r.claims
	}
	var b strings.Builder
	b.WriteString("resolver_preload {\n")
	for _, account := range slices.Sorted(maps.Keys(t.Accounts)) {
		fmt.Fprintf(&b, "  %s: %s\n", account, t.Accounts[account])
	}
	b.WriteString("}\n")
	return []byte(b.String()), nil
}

// SameConfiguration reports whether two configurations say the same, but for when the operator was signed.
func SameConfiguration(a, b []byte) bool {
	x, y := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
	return slices.EqualFunc(x, y, func(a, b string) bool {
		const operator = "operator: "
		first, one := strings.CutPrefix(a, operator)
		second, two := strings.CutPrefix(b, operator)
		return a == b || one && two && sameOperator(first, second)
	})
}

func sameOperator(a, b string) bool {
	x, first := jwt.DecodeOperatorClaims(a)
	y, second := jwt.DecodeOperatorClaims(b)
	return first == nil && second == nil && x.Subject == y.Subject && x.SystemAccount == y.SystemAccount && x.Name == y.Name
}

// SamePreload reports whether two preloads make the same claims, but for when they were issued.
func SamePreload(a, b []byte) bool {
	x, y := preloaded(a), preloaded(b)
	return len(x) > 0 && maps.EqualFunc(x, y, same)
}

func preloaded(text []byte) map[string]string {
	out := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		if account, token, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			out[account] = token
		}
	}
	return out
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
	h, ok, err := access.Read(file)
	if err != nil || !ok {
		return false, nil //nolint:nilerr // it is no credentials file
	}
	return h.Signer == t.Signers[r][0] && h.Account == t.Accounts[r.Account()] && h.Name == name && h.Valid(), nil
}
