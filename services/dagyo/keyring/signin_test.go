package keyring

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/access"
)

func signInKeys(t *testing.T, k *Keyring) map[access.Role]access.SignInKey {
	t.Helper()
	text, err := k.SignInKeys()
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Keys []access.SignInKey }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	out := make(map[access.Role]access.SignInKey)
	for _, key := range file.Keys {
		out[key.Role] = key
	}
	return out
}

// A gateway has keys of the allowed roles only, and what it signs is accepted under no other role.
func TestSignInKeysAreThoseThatAreAllowed(t *testing.T) {
	k := openIn(t, t.TempDir())
	if got := signInKeys(t, k); len(got) != 0 {
		t.Errorf("keys without being allowed: %v", got)
	}
	if err := k.AllowSignIn(DefaultTenant, access.Planner); err == nil {
		t.Error("allowed the role of a service")
	}
	if err := k.AllowSignIn(DefaultTenant, access.User, access.Viewer, access.User); err != nil {
		t.Fatal(err)
	}
	keys := signInKeys(t, k)
	if len(keys) != 2 {
		t.Fatalf("keys %v", keys)
	}
	scopes := outside(t, k).SigningKeys
	for r, key := range keys {
		public, err := key.Public()
		if err != nil {
			t.Fatal(err)
		}
		scope, ok := scopes.GetScope(public)
		if !ok || scope == nil {
			t.Fatalf("the account does not know the key of %s", r)
		}
		own, err := k.Tenant(DefaultTenant)
		if err != nil {
			t.Fatal(err)
		}
		signers, err := k.signers(own)
		if err != nil || !slices.Contains(signers[r], public) || signers[r][0] == public {
			t.Errorf("%s: signers %v, %v", r, signers[r], err)
		}
	}
	for name, expires := range map[string]time.Time{
		"ada": time.Now().Add(time.Hour), "sso-Ada": time.Now().Add(time.Hour), "sso-ada": {}, "sso-eve": time.Now().Add(access.MaxSignIn + time.Hour),
	} {
		if _, err := keys[access.User].Issue(name, "", expires); err == nil {
			t.Errorf("issued %s until %v", name, expires)
		}
	}
	// Without the role, the account does not know the key any more.
	if err := k.AllowSignIn(DefaultTenant, access.Viewer); err != nil {
		t.Fatal(err)
	}
	public, err := keys[access.User].Public()
	if err != nil {
		t.Fatal(err)
	}
	if outside(t, k).SigningKeys.Contains(public) || len(signInKeys(t, k)) != 1 {
		t.Error("the key of a withdrawn role is valid")
	}
}

// A person is revoked without a list of credentials, also across a rotation, and can sign in again.
func TestPersonsWhoSignInAreRevoked(t *testing.T) {
	k := openIn(t, t.TempDir())
	if _, err := k.Revoke(DefaultTenant, "sso-ada"); !errors.Is(err, ErrNoUser) {
		t.Errorf("revoked where nobody can sign in: %v", err)
	}
	if err := k.AllowSignIn(DefaultTenant, access.User); err != nil {
		t.Fatal(err)
	}
	issue := func(name string) access.Holder {
		t.Helper()
		file, err := signInKeys(t, k)[access.User].Issue(name, "", time.Now().Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		h, ok, err := access.Read(file)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		return h
	}
	ada, bob := issue("sso-ada"), issue("sso-bob")
	if again := issue("sso-ada"); again.Key != ada.Key || again.Key == bob.Key {
		t.Error("the keys of persons do not tell them apart")
	}
	if err := k.Rotate(SignIn); err != nil {
		t.Fatal(err)
	}
	later := issue("sso-ada")
	if later.Key == ada.Key {
		t.Error("a rotation keeps keys of persons")
	}
	if _, err := k.Revoke(DefaultTenant, "sso-ada"); err != nil {
		t.Fatal(err)
	}
	revocations := outside(t, k).Revocations
	for _, h := range []access.Holder{ada, later} {
		if !revocations.IsRevoked(h.Key, time.Now()) || revocations.IsRevoked(h.Key, time.Now().Add(SignInMargin+time.Second)) {
			t.Errorf("revocations %v of %v", revocations, h.Key)
		}
	}
	if revocations.IsRevoked(bob.Key, time.Now()) {
		t.Error("somebody else is revoked")
	}
	// Not forgotten while the keys are not valid: they may be allowed again.
	err := errors.Join(k.AllowSignIn(DefaultTenant), errJoin(k.Retire(SignIn)), k.AllowSignIn(DefaultTenant, access.User))
	if err != nil || !outside(t, k).Revocations.IsRevoked(later.Key, time.Now()) {
		t.Errorf("a revocation is forgotten: %v", err)
	}
	if all, err := k.Users(DefaultTenant); err != nil || len(all) != 0 {
		t.Errorf("users %v, %v", all, err)
	}
}

func errJoin(_ []access.Role, err error) error { return err }
