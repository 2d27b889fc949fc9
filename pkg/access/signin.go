package access

import (
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/dagyo/dagyo/pkg/document"
)

// SignInPrefix begins the names of persons who sign in with a provider. Nobody else gets such a name, so that neither kind
// of user can act as one of the other.
const SignInPrefix = "sso-"

// MaxSignIn is the longest time for which a credential of a person who signs in is valid.
const MaxSignIn = 90 * 24 * time.Hour

// TagToken is the tag with the name of a personal token.
const TagToken = "token"

// A SignInKey signs the credentials of persons who sign in, of one role in one tenant. Its holder can issue these, and no
// others.
type SignInKey struct {
	Tenant string `json:"tenant"`
	Role   Role   `json:"role"`
	// Account is the public key of the account, Seed that of the signing key.
	Account string `json:"account"`
	Seed    string `json:"seed"`
}

// SignIn returns the key that signs the credentials of persons who sign in, of a role in a tenant, for the secret of
// sign-in.
func (s Secret) SignIn(id string, r Role) (nkeys.KeyPair, error) {
	return s.key(id, "sign-in 1 "+string(r))
}

// NewSignInKey returns the key of a role in a tenant.
func (s Secret) NewSignInKey(id, tenant, account string, r Role) (SignInKey, error) {
	pair, err := s.SignIn(id, r)
	if err != nil {
		return SignInKey{}, err
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	return SignInKey{Tenant: tenant, Role: r, Account: account, Seed: string(seed)}, err
}

// Public returns the public key.
func (k SignInKey) Public() (string, error) {
	pair, err := nkeys.FromSeed([]byte(k.Seed))
	if err != nil {
		return "", err
	}
	defer pair.Wipe()
	return pair.PublicKey()
}

// Person returns the key of a person. All credentials of the person that are signed with k have it, so that whoever has k
// can revoke them without a list.
func (k SignInKey) Person(name string) (nkeys.KeyPair, error) {
	_, raw, err := nkeys.DecodeSeed([]byte(k.Seed))
	if err != nil {
		return nil, err
	}
	own, err := hkdf.Key(sha256.New, raw, nil, "dagyo 1 person "+name, 32)
	if err != nil {
		return nil, err
	}
	return nkeys.FromRawSeed(nkeys.PrefixByteUser, own)
}

// Issue returns a credential of a person as the content of a credentials file. token is the name of a personal token, ""
// for a session.
func (k SignInKey) Issue(name, token string, expires time.Time) ([]byte, error) {
	switch {
	case !strings.HasPrefix(name, SignInPrefix) || !document.ValidName(name):
		return nil, fmt.Errorf("%q is not a name of somebody who signs in", name)
	case token != "" && !document.ValidName(token):
		return nil, fmt.Errorf("%q is not a name: it must match %s", token, document.NamePattern)
	case expires.IsZero() || time.Until(expires) > MaxSignIn:
		return nil, errors.New("a credential of somebody who signs in must expire")
	}
	signer, err := nkeys.FromSeed([]byte(k.Seed))
	if err != nil {
		return nil, err
	}
	defer signer.Wipe()
	key, err := k.Person(name)
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	return signFor(key, signer, name, expires, func(claims *jwt.UserClaims) {
		claims.IssuerAccount = k.Account
		claims.SetScoped(true)
		claims.Tags.Add(TagRole + ":" + string(k.Role))
		if token != "" {
			claims.Tags.Add(TagToken + ":" + token)
		}
	})
}
