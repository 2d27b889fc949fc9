package keyring

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/access"
)

// SignInMargin is by how much the clock of a gateway may be ahead when a person is revoked: what the person gets by signing
// in within this time is invalid, too.
const SignInMargin = time.Minute

// AllowSignIn sets the roles of which persons who sign in may get credentials in a tenant. What they have of other roles
// becomes invalid.
func (k *Keyring) AllowSignIn(tenant string, roles ...access.Role) error {
	x, err := k.Tenant(tenant)
	if err != nil {
		return err
	}
	for _, r := range roles {
		if !slices.Contains(access.Persons(), r) {
			return fmt.Errorf("%q is not the role of a person", r)
		}
	}
	x.SignIn = nil
	for _, r := range access.Persons() {
		if slices.Contains(roles, r) {
			x.SignIn = append(x.SignIn, r)
		}
	}
	return k.Store(x)
}

// signInKeys returns the keys of roles in a tenant, first the current ones, then those before a rotation.
func (k *Keyring) signInKeys(x Tenant, roles []access.Role) (out []access.SignInKey, err error) {
	account, err := k.account(x.ID, access.Outside)
	if err != nil {
		return nil, err
	}
	secrets, err := k.secrets(SignIn)
	for _, s := range secrets {
		for _, r := range roles {
			key, wrong := s.NewSignInKey(x.ID, x.Name, account, r)
			if wrong != nil {
				return nil, wrong
			}
			out = append(out, key)
		}
	}
	return out, err
}

// SignInKeys returns the content of the file with the keys of a gateway that signs persons in: the current ones of all
// tenants, and no others.
func (k *Keyring) SignInKeys() ([]byte, error) {
	all, err := k.Tenants()
	if err != nil {
		return nil, err
	}
	keys := []access.SignInKey{}
	for _, x := range all {
		some, err := k.signInKeys(x, x.SignIn)
		if err != nil {
			return nil, err
		}
		keys = append(keys, some[:len(x.SignIn)]...)
	}
	text, err := json.MarshalIndent(map[string]any{"keys": keys}, "", "  ")
	return append(text, '\n'), err
}

// revokeSignIn makes invalid what a person has got by signing in.
func (k *Keyring) revokeSignIn(x Tenant, name string, roles []access.Role) (revoked []User, err error) {
	if len(roles) == 0 {
		roles = access.Persons() // also those that may be allowed again
	}
	keys, err := k.signInKeys(x, roles)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		u, err := revocation(key, name)
		if err == nil {
			err = k.record(x.ID, u)
		}
		if err != nil {
			return revoked, fmt.Errorf("record that %s is revoked: %w", name, err)
		}
		revoked = append(revoked, u)
	}
	return revoked, nil
}

// revocation returns the record that what a person has got with a key is revoked. It is kept until all of that has expired.
func revocation(key access.SignInKey, name string) (u User, err error) {
	u = User{Name: name, Role: key.Role, SignIn: true, Issued: now(), Revoked: now()}
	u.Expires = u.Revoked.Add(SignInMargin + access.MaxSignIn)
	person, err := key.Person(name)
	if err != nil {
		return u, err
	}
	defer person.Wipe()
	if u.Key, err = person.PublicKey(); err != nil {
		return u, err
	}
	u.Signer, err = key.Public()
	return u, err
}
