package keyring

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"

	"github.com/dagyo/dagyo/pkg/access"
)

func add(t *testing.T, k *Keyring, name string, r access.Role, expires time.Time) access.Holder {
	t.Helper()
	file, err := k.AddUser(DefaultTenant, access.Credential{Role: r, Name: name, Expires: expires})
	if err != nil {
		t.Fatal(err)
	}
	h, _, err := access.Read(file)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func users(t *testing.T, k *Keyring) (out []string) {
	t.Helper()
	all, err := k.Users(DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range all {
		out = append(out, u.Name+" "+string(u.Role))
	}
	return out
}

// outside returns the claims of the account that users connect to.
func outside(t *testing.T, k *Keyring) *jwt.AccountClaims {
	t.Helper()
	accounts, err := k.Accounts(DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	all, err := k.Trust()
	if err != nil {
		t.Fatal(err)
	}
	claims, err := jwt.DecodeAccountClaims(all.Accounts[accounts[access.Outside]])
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// Revoked credentials are in the claims for as long as the server would accept them otherwise, and no longer.
func TestRevocationsAreBounded(t *testing.T) {
	k := openIn(t, t.TempDir())
	ada, again := add(t, k, "ada", access.User, time.Time{}), add(t, k, "ada", access.Viewer, time.Time{})
	add(t, k, "bob", access.User, time.Time{})
	add(t, k, "eve", access.User, time.Now().Add(-time.Minute)) // expired
	if got := users(t, k); !slices.Equal(got, []string{"ada user", "ada viewer", "bob user"}) {
		t.Errorf("users are %v", got)
	}
	if _, err := k.Revoke(DefaultTenant, "ada", access.Viewer); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Revoke(DefaultTenant, "eve"); !errors.Is(err, ErrNoUser) {
		t.Errorf("revoked an expired credential: %v", err)
	}
	claims := outside(t, k)
	ahead := time.Now().Add(time.Hour) // of a machine whose clock is wrong
	if len(claims.Revocations) != 1 || !claims.Revocations.IsRevoked(again.Key, ahead) || claims.Revocations.IsRevoked(ada.Key, ahead) {
		t.Errorf("revocations are %v", claims.Revocations)
	}
	if err := k.Rotate(access.Viewer); err != nil {
		t.Fatal(err)
	}
	if n := len(outside(t, k).Revocations); n != 1 {
		t.Errorf("%d revocations while the previous keys are valid", n)
	}
	if _, err := k.Retire(access.Viewer); err != nil {
		t.Fatal(err)
	}
	if n := len(outside(t, k).Revocations); n != 0 {
		t.Errorf("%d revocations of credentials that are invalid anyway", n)
	}
	add(t, k, "cyd", access.User, time.Time{})
	tenant, err := k.Tenant(DefaultTenant)
	if err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(k.usersOf(tenant.ID)); err != nil || len(files) != 3 {
		t.Errorf("%d records, %v", len(files), err)
	}
}

// Two secrets of a role are valid at most, and the users who would be shut out are named.
func TestRotation(t *testing.T) {
	dir := t.TempDir()
	k := openIn(t, dir)
	add(t, k, "ada", access.User, time.Time{})
	add(t, k, "bob", access.User, time.Time{})
	signers := func() map[access.Role]int {
		out := make(map[access.Role]int)
		for _, scope := range outside(t, k).SigningKeys {
			out[access.Role(scope.(*jwt.UserScope).Role)]++
		}
		return out
	}
	before, err := k.Secret(access.User)
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Rotate(access.User); err != nil {
		t.Fatal(err)
	}
	if after, err := openIn(t, dir).Secret(access.User); err != nil || after == before {
		t.Errorf("the secret is the same, %v", err)
	}
	if got := signers(); got[access.User] != 2 || got[access.Viewer] != 1 {
		t.Errorf("signers are %v", got)
	}
	if err := k.Rotate(access.Viewer, access.User); !errors.Is(err, ErrRotated) || signers()[access.Viewer] != 1 {
		t.Errorf("rotated again: %v, %v", err, signers())
	}
	add(t, k, "bob", access.User, time.Time{})
	if got, err := k.Outdated(access.Roles()...); err != nil || !slices.Equal(got, []string{"default/ada"}) {
		t.Errorf("outdated are %v, %v", got, err)
	}
	if got, err := k.Retire(access.Roles()...); err != nil || !slices.Equal(got, []access.Role{access.User}) {
		t.Errorf("retired %v, %v", got, err)
	}
	if got := signers(); got[access.User] != 1 {
		t.Errorf("signers are %v", got)
	}
	if got := users(t, k); !slices.Equal(got, []string{"bob user"}) {
		t.Errorf("users are %v", got)
	}
}

// One process at a time changes the keys.
func TestLock(t *testing.T) {
	k := openIn(t, t.TempDir())
	held, err := k.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := k.Lock(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("locked twice: %v", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := k.Lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = again.Close()
}
