package keyring

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/moby/sys/atomicwriter"

	"github.com/dagyo/dagyo/pkg/access"
)

// SignIn stands among the roles for the secret of sign-in: the keys that sign the credentials of persons who sign in with a
// provider, whatever their role, are derived from it.
const SignIn access.Role = "sign-in"

// Kinds returns what has a secret that can be replaced: all roles, and SignIn.
func Kinds() []access.Role { return append(access.Roles(), SignIn) }

// current and previous are the files with the secrets of a role.
func current(r access.Role) string  { return filepath.Join("roles", string(r)+".secret") }
func previous(r access.Role) string { return filepath.Join("roles", string(r)+".previous") }

// Secret returns the secret from which a role's keys of all tenants are derived. It is read each time, because it may be
// replaced.
func (k *Keyring) Secret(r access.Role) (access.Secret, error) {
	if !slices.Contains(Kinds(), r) {
		return access.Secret{}, fmt.Errorf("there is no role %q", r)
	}
	return k.secret(current(r))
}

// ErrRotated is returned by Rotate for roles whose previous keys are still valid.
var ErrRotated = errors.New("the previous keys are still valid")

// Rotate replaces the keys of roles. What the previous ones have signed stays valid until they are retired.
func (k *Keyring) Rotate(roles ...access.Role) error {
	for _, r := range roles {
		switch _, ok, err := k.before(r); {
		case err != nil:
			return err
		case ok:
			return fmt.Errorf("role %s: %w", r, ErrRotated)
		}
	}
	for _, r := range roles {
		secret, err := k.Secret(r)
		if err != nil {
			return err
		}
		next := access.NewSecret()
		if err := errors.Join(k.write(previous(r), secret), k.write(current(r), next)); err != nil {
			return fmt.Errorf("replace the keys of role %s: %w", r, err)
		}
	}
	return nil
}

// Retire makes the previous keys of roles invalid, with all that they have signed. It returns the roles that had some.
func (k *Keyring) Retire(roles ...access.Role) (retired []access.Role, err error) {
	for _, r := range roles {
		switch err := os.Remove(filepath.Join(k.dir, previous(r))); {
		case err == nil:
			retired = append(retired, r)
		case !errors.Is(err, fs.ErrNotExist):
			return retired, err
		}
	}
	all, err := k.Tenants()
	for _, x := range all {
		err = errors.Join(err, k.prune(x))
	}
	return retired, err
}

func (k *Keyring) write(name string, s access.Secret) error {
	text := base64.StdEncoding.EncodeToString(s[:])
	return atomicwriter.WriteFile(filepath.Join(k.dir, name), []byte(text+"\n"), 0o600)
}

// before returns the previous secret of a role, if it is still valid. After a rotation that was cut short it can be the
// current one.
func (k *Keyring) before(r access.Role) (s access.Secret, ok bool, err error) {
	text, err := os.ReadFile(filepath.Join(k.dir, previous(r)))
	if errors.Is(err, fs.ErrNotExist) {
		return s, false, nil
	}
	if err != nil {
		return s, false, err
	}
	if s, err = parseSecret(previous(r), text); err != nil {
		return s, false, err
	}
	now, err := k.Secret(r)
	return s, s != now, err
}

// secrets returns the secrets of a role that are valid, the current one first.
func (k *Keyring) secrets(r access.Role) ([]access.Secret, error) {
	secret, err := k.Secret(r)
	if err != nil {
		return nil, err
	}
	out := []access.Secret{secret}
	before, ok, err := k.before(r)
	if ok {
		out = append(out, before)
	}
	return out, err
}

// signers returns the public keys that sign the credentials of each role in a tenant, the current one of the role first.
func (k *Keyring) signers(x Tenant) (map[access.Role][]string, error) {
	out := make(map[access.Role][]string)
	for _, r := range access.Roles() {
		secrets, err := k.secrets(r)
		if err != nil {
			return nil, err
		}
		for _, s := range secrets {
			key, err := s.PublicSigner(x.ID)
			if err != nil {
				return nil, err
			}
			out[r] = append(out[r], key)
		}
	}
	keys, err := k.signInKeys(x, x.SignIn)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		public, err := key.Public()
		if err != nil {
			return nil, err
		}
		out[key.Role] = append(out[key.Role], public)
	}
	return out, nil
}
