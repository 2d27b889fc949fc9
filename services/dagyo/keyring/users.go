package keyring

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moby/sys/atomicwriter"

	"github.com/dagyo/dagyo/pkg/access"
)

// usersDir holds a folder for each tenant, with a file for each credential of a person.
const usersDir = "users"

// A User is a credential of a person that was issued.
type User struct {
	Name string      `json:"name"`
	Role access.Role `json:"role"`
	// Key is the public key of the credential, Signer that of who has signed it.
	Key     string    `json:"key"`
	Signer  string    `json:"signer"`
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires,omitzero"`
	Revoked time.Time `json:"revoked,omitzero"`
	// SignIn is true for what a person got by signing in: all credentials with the key, of which there is no list. They are
	// recorded only when they are revoked.
	SignIn bool `json:"signIn,omitempty"`
}

// ErrNoUser is returned for a user who has no valid credentials.
var ErrNoUser = errors.New("there is no such user")

func now() time.Time { return time.Now().UTC().Truncate(time.Second) }

func (k *Keyring) usersOf(id string) string { return filepath.Join(k.dir, usersDir, id) }

// AddUser issues a credential of a person, as Issue does, and records it, so that it can be revoked.
func (k *Keyring) AddUser(tenant string, c access.Credential) ([]byte, error) {
	x, err := k.Tenant(tenant)
	if err != nil {
		return nil, err
	}
	file, err := k.issue(x, c)
	if err != nil {
		return nil, err
	}
	h, _, err := access.Read(file)
	if err != nil {
		return nil, err
	}
	if err := k.prune(x); err != nil {
		return nil, err
	}
	u := User{Name: h.Name, Role: h.Role, Key: h.Key, Signer: h.Signer, Issued: now(), Expires: h.Expires}
	if err := k.record(x.ID, u); err != nil {
		return nil, fmt.Errorf("record the credential of %s: %w", c.Name, err)
	}
	return file, nil
}

func (k *Keyring) record(id string, u User) error {
	text, err := json.MarshalIndent(u, "", "  ")
	if err == nil {
		err = os.MkdirAll(k.usersOf(id), 0o700)
	}
	if err == nil {
		err = atomicwriter.WriteFile(filepath.Join(k.usersOf(id), u.Key+".json"), append(text, '\n'), 0o600)
	}
	return err
}

// Users returns the credentials of a tenant's persons that are valid, sorted by name and time.
func (k *Keyring) Users(tenant string) (out []User, err error) {
	x, err := k.Tenant(tenant)
	if err != nil {
		return nil, err
	}
	signers, err := k.signers(x)
	if err != nil {
		return nil, err
	}
	all, err := readAll[User](k.usersOf(x.ID))
	for _, u := range all {
		if u.Revoked.IsZero() && u.counts(signers) {
			out = append(out, u)
		}
	}
	slices.SortFunc(out, func(a, b User) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), a.Issued.Compare(b.Issued), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Key, b.Key))
	})
	return out, err
}

// Revoke makes all credentials of a user invalid, or those of some roles. It returns them. Of a person who signs in it
// returns one for each key, whether or not there are credentials with it.
func (k *Keyring) Revoke(tenant, name string, roles ...access.Role) (revoked []User, err error) {
	all, err := k.Users(tenant)
	if err != nil {
		return nil, err
	}
	x, err := k.Tenant(tenant)
	if err != nil {
		return nil, err
	}
	for _, u := range all {
		if u.Name != name || len(roles) > 0 && !slices.Contains(roles, u.Role) {
			continue
		}
		u.Revoked = now()
		if err := k.record(x.ID, u); err != nil {
			return revoked, fmt.Errorf("record that a credential of %s is revoked: %w", name, err)
		}
		revoked = append(revoked, u)
	}
	if strings.HasPrefix(name, access.SignInPrefix) && len(x.SignIn) > 0 {
		more, err := k.revokeSignIn(x, name, roles)
		if revoked = append(revoked, more...); err != nil {
			return revoked, err
		}
	}
	if len(revoked) == 0 {
		return nil, fmt.Errorf("user %q of tenant %s has no credentials that are valid: %w", name, tenant, ErrNoUser)
	}
	return revoked, k.prune(x)
}

// Outdated returns the users who lose their last credentials of a role if the previous keys of roles are retired, as
// TENANT/NAME, sorted.
func (k *Keyring) Outdated(roles ...access.Role) (out []string, err error) {
	all, err := k.Tenants()
	if err != nil {
		return nil, err
	}
	for _, x := range all {
		users, err := k.Users(x.Name)
		if err != nil {
			return nil, err
		}
		signers, err := k.signers(x)
		if err != nil {
			return nil, err
		}
		loses := make(map[string]bool) // the name and role of a user, until there is a credential that stays
		for _, stays := range []bool{false, true} {
			for _, u := range users {
				if slices.Contains(roles, u.Role) && (u.Signer == signers[u.Role][0]) == stays {
					loses[u.Name+"/"+string(u.Role)] = !stays
				}
			}
		}
		for _, u := range users {
			if of := x.Name + "/" + u.Name; loses[u.Name+"/"+string(u.Role)] && !slices.Contains(out, of) {
				out = append(out, of)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}

// counts reports whether a server would accept the credential, unless it was revoked. Keys of sign-in can come back: the
// role may be allowed again.
func (u User) counts(signers map[access.Role][]string) bool {
	return (u.SignIn || slices.Contains(signers[u.Role], u.Signer)) && (u.Expires.IsZero() || u.Expires.After(time.Now()))
}

// revoked returns the credentials that a server must be told about, by public key: those that it would accept.
func (k *Keyring) revoked(id string, signers map[access.Role][]string) (map[string]time.Time, error) {
	all, err := readAll[User](k.usersOf(id))
	out := make(map[string]time.Time)
	for _, u := range all {
		if !u.Revoked.IsZero() && u.counts(signers) {
			// The server compares that with the date in the credential, which the clock of another machine may have made.
			margin := clockMargin
			if u.SignIn {
				margin = SignInMargin
			}
			out[u.Key] = later(u.Revoked, u.Issued).Add(margin)
		}
	}
	return out, err
}

// clockMargin is by how much the clocks of machines that issue and revoke credentials may differ. A key is of one
// credential, so nothing else is revoked by it.
const clockMargin = 24 * time.Hour

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// prune deletes the records of credentials that no server accepts any more.
func (k *Keyring) prune(x Tenant) error {
	signers, err := k.signers(x)
	if err != nil {
		return err
	}
	all, err := readAll[User](k.usersOf(x.ID))
	for _, u := range all {
		if !u.counts(signers) {
			if gone := os.Remove(filepath.Join(k.usersOf(x.ID), u.Key+".json")); !errors.Is(gone, fs.ErrNotExist) {
				err = errors.Join(err, gone)
			}
		}
	}
	return err
}
