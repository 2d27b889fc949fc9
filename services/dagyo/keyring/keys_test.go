package keyring_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
)

func open(t *testing.T, dir string) *keyring.Keyring {
	t.Helper()
	k, err := keyring.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func trust(t *testing.T, k *keyring.Keyring) keyring.Trust {
	t.Helper()
	out, err := k.Trust()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// signer returns the key that signed a credential.
func signer(t *testing.T, k *keyring.Keyring, c access.Credential) string {
	t.Helper()
	file, err := k.Issue(keyring.DefaultTenant, c)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.ParseDecoratedJWT(file)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil {
		t.Fatal(err)
	}
	return claims.Issuer
}

func TestKeysAreKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if keyring.Exists(dir) {
		t.Error("a folder that does not exist has keys")
	}
	first := open(t, dir)
	if !keyring.Exists(dir) {
		t.Error("the keys are not there")
	}
	again := open(t, dir)
	before, after := trust(t, first), trust(t, again)
	if before.Operator.Subject != after.Operator.Subject || before.System != after.System || len(after.Accounts) != 3 {
		t.Errorf("%+v and then %+v", before, after)
	}
	for account := range before.Accounts {
		if after.Accounts[account] == "" {
			t.Errorf("account %s is gone", account)
		}
	}
	ada := access.Credential{Role: access.User, Name: "ada"}
	if a, b := signer(t, first, ada), signer(t, again, ada); a != b {
		t.Errorf("the role user is signed with %s and then with %s", a, b)
	}
	if a, b := signer(t, first, ada), signer(t, open(t, t.TempDir()), ada); a == b {
		t.Error("two installations have the same key")
	}
}

// Each role has a key of its own, and only keys of this installation are in its accounts.
func TestSigners(t *testing.T) {
	k := open(t, t.TempDir())
	accounts, err := k.Accounts(keyring.DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]access.Role)
	for _, r := range access.Roles() {
		key := signer(t, k, access.Credential{Role: r, Name: "x", Mailbox: "m"})
		if other, found := seen[key]; found {
			t.Errorf("%s and %s have the same key", r, other)
		}
		seen[key] = r
		claims, err := jwt.DecodeAccountClaims(trust(t, k).Accounts[accounts[r.Account()]])
		if err != nil {
			t.Fatal(err)
		}
		if scope, found := claims.SigningKeys[key]; !found || scope.(*jwt.UserScope).Role != string(r) {
			t.Errorf("%s is not signed with the key of its role", r)
		}
	}
}

func TestKeysAreSecret(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	open(t, dir)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestWrongKeys(t *testing.T) {
	for file, want := range map[string]string{
		"operator.nk":                            "operator.nk is not a seed",
		"accounts.secret":                        "accounts.secret is not a secret of 32 bytes in Base64",
		filepath.Join("roles", "user.secret"):    "user.secret is not a secret of 32 bytes in Base64",
		filepath.Join("tenants", "default.json"): "default.json",
	} {
		dir := t.TempDir()
		open(t, dir)
		if err := os.WriteFile(filepath.Join(dir, file), []byte("broken\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := keyring.Open(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is broken: %v", file, err)
		}
	}
	k := open(t, t.TempDir())
	for name, want := range map[string]string{keyring.DefaultTenant: "already exists", "No Name": "is not the name of a tenant", "../x": "is not the name of a tenant"} {
		if _, err := k.Add(keyring.Tenant{Name: name}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("add %q: %v", name, err)
		}
	}
	for c, want := range map[access.Credential]string{
		{Role: "king", Name: "x"}:        `there is no role "king"`,
		{Role: access.User, Name: "X Y"}: `"X Y" is not a name`,
	} {
		if _, err := k.Issue(keyring.DefaultTenant, c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := k.Issue("nobody", access.Credential{Role: access.User, Name: "x"}); err == nil || !strings.Contains(err.Error(), `tenant "nobody": there is no such tenant`) {
		t.Errorf("a tenant that does not exist: %v", err)
	}
}
