package access

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/dagyo/dagyo/pkg/document"
)

// A Secret is what all keys of one kind are derived from: one for the accounts, and one for each role. Whoever holds
// the secret of a role can sign credentials of that role in every tenant, of those that exist and of those to come.
type Secret [32]byte

// NewSecret returns a random secret.
func NewSecret() (s Secret) {
	_, _ = rand.Read(s[:]) // never fails
	return s
}

// key derives an account key of a tenant. use is what it is for.
func (s Secret) key(tenant, use string) (nkeys.KeyPair, error) {
	raw, err := hkdf.Key(sha256.New, s[:], nil, "dagyo 1 "+tenant+" "+use, 32)
	if err != nil {
		return nil, err
	}
	return nkeys.FromRawSeed(nkeys.PrefixByteAccount, raw)
}

// Account returns the identity of an account of a tenant, for the secret of the accounts. id distinguishes the tenant
// from others that had its name before.
func (s Secret) Account(id string, a Account) (nkeys.KeyPair, error) {
	return s.key(id, "account "+string(a))
}

// Signer returns the key that signs the credentials of a role in a tenant, for the secret of the role.
func (s Secret) Signer(id string) (nkeys.KeyPair, error) { return s.key(id, "signer 1") }

// PublicSigner returns the public key of Signer.
func (s Secret) PublicSigner(id string) (string, error) {
	key, err := s.Signer(id)
	if err != nil {
		return "", err
	}
	defer key.Wipe()
	return key.PublicKey()
}

// A Credential is to be issued.
type Credential struct {
	Role Role
	// Name is the name of the person, the id of the executor, or the service.
	Name string
	// Account is the public key of the account.
	Account string
	// Mailbox is the mailbox of an executor.
	Mailbox string
	// Expires is when it becomes invalid; zero means never.
	Expires time.Time
}

// Issue returns a credential as the content of a credentials file.
func Issue(signer nkeys.KeyPair, c Credential) ([]byte, error) {
	if !document.ValidName(c.Name) {
		return nil, fmt.Errorf("%q is not a name: it must match %s", c.Name, document.NamePattern)
	}
	return sign(signer, c.Name, c.Expires, func(claims *jwt.UserClaims) {
		claims.IssuerAccount = c.Account
		claims.SetScoped(true)
		claims.Tags.Add(TagRole + ":" + string(c.Role))
		if c.Mailbox != "" {
			claims.Tags.Add(TagMailbox + ":" + c.Mailbox)
		}
	})
}

// sign returns a credential with a new key, as the content of a credentials file. rights adds to its claims.
func sign(signer nkeys.KeyPair, name string, expires time.Time, rights func(*jwt.UserClaims)) ([]byte, error) {
	key, err := nkeys.CreateUser()
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	return signFor(key, signer, name, expires, rights)
}

// signFor is sign for a key of the holder.
func signFor(key, signer nkeys.KeyPair, name string, expires time.Time, rights func(*jwt.UserClaims)) ([]byte, error) {
	public, err := key.PublicKey()
	if err != nil {
		return nil, err
	}
	claims := jwt.NewUserClaims(public)
	claims.Name = name
	rights(claims)
	if !expires.IsZero() {
		claims.Expires = expires.Unix()
	}
	token, err := claims.Encode(signer)
	if err != nil {
		return nil, fmt.Errorf("sign the credential of %s: %w", name, err)
	}
	seed, err := key.Seed()
	if err != nil {
		return nil, err
	}
	return jwt.FormatUserConfig(token, seed)
}

// TagRole is the tag with the role, for its holder; the server goes by the key that signed the credential.
const TagRole = "role"

// A Holder is whom a credential is for, according to itself.
type Holder struct {
	Role Role
	Name string
	// Expires is when it becomes invalid; zero means never.
	Expires time.Time
	// Key, Signer and Account are the public keys of the holder, of who has signed the credential, and of the account.
	Key, Signer, Account string
	// Token is the name of a personal token, "" for other credentials.
	Token string
}

// Valid reports whether it has not expired.
func (h Holder) Valid() bool { return h.Expires.IsZero() || h.Expires.After(time.Now()) }

// Service reports whether it is a service, which has a connection to each account.
func (h Holder) Service() bool { return slices.Contains(Services(), h.Role) }

// Inbox is the prefix of the subjects on which the holder gets answers.
func (h Holder) Inbox() string { return InboxPrefix(h.Role, h.Name) }

// Read returns the holder of a credentials file. ok is false if Dagyo has not issued it.
func Read(file []byte) (h Holder, ok bool, err error) {
	token, err := jwt.ParseDecoratedJWT(file)
	if err != nil {
		return h, false, err
	}
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil {
		return h, false, err
	}
	if claims.Expires > 0 {
		h.Expires = time.Unix(claims.Expires, 0)
	}
	h.Name, h.Key, h.Signer, h.Account = claims.Name, claims.Subject, claims.Issuer, claims.IssuerAccount
	for _, r := range Roles() {
		if slices.Contains(claims.Tags, TagRole+":"+string(r)) {
			h.Role = r
		}
	}
	for _, tag := range claims.Tags {
		if name, ok := strings.CutPrefix(tag, TagToken+":"); ok {
			h.Token = name
		}
	}
	return h, h.Role != "", nil
}
