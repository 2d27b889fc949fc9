package conformance

import (
	"fmt"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
)

// kitName names the kit in its credentials, and the tenant on its server.
const kitName = "kit"

// keys are those of a server of the kit's, in memory only. No other server trusts them.
type keys struct {
	trust    keyring.Trust
	accounts map[access.Account]keyPair
	roles    map[access.Role]keyPair
}

// A keyPair is a key and its public part.
type keyPair struct {
	nkeys.KeyPair
	public string
}

func newKeyPair(create func() (nkeys.KeyPair, error)) (k keyPair, err error) {
	if k.KeyPair, err = create(); err == nil {
		k.public, err = k.PublicKey()
	}
	return k, err
}

func newKeys() (k *keys, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("make the keys of NATS: %w", err)
		}
	}()
	k = &keys{accounts: make(map[access.Account]keyPair), roles: make(map[access.Role]keyPair)}
	t := access.Tenant{Name: kitName, Accounts: make(map[access.Account]string), Signers: make(map[access.Role][]string)}
	for _, a := range access.Accounts() {
		if k.accounts[a], err = newKeyPair(nkeys.CreateAccount); err != nil {
			return nil, err
		}
		t.Accounts[a] = k.accounts[a].public
	}
	for _, r := range access.Roles() {
		if k.roles[r], err = newKeyPair(nkeys.CreateAccount); err != nil {
			return nil, err
		}
		t.Signers[r] = []string{k.roles[r].public}
	}
	operator, err := nkeys.CreateOperator()
	if err != nil {
		return nil, err
	}
	system, err := nkeys.CreateAccount()
	if err != nil {
		return nil, err
	}
	k.trust, err = keyring.NewTrust(operator, system, t)
	return k, err
}

// issue returns the credentials of a role.
func (k *keys) issue(r access.Role, name, mailbox string) ([]byte, error) {
	return access.Issue(k.roles[r], access.Credential{
		Role: r, Name: name, Account: k.accounts[r.Account()].public, Mailbox: mailbox,
	})
}

// master returns credentials with all rights in the account of services. They have no role: the account's own key
// signs them. With them the kit does what all services do, and what executors of the previous version have done.
func (k *keys) master() ([]byte, error) {
	user, err := newKeyPair(nkeys.CreateUser)
	if err != nil {
		return nil, err
	}
	claims := jwt.NewUserClaims(user.public)
	claims.Name = kitName
	claims.Pub.Allow.Add(">")
	claims.Sub.Allow.Add(">")
	token, err := claims.Encode(k.accounts[access.Inside])
	if err != nil {
		return nil, fmt.Errorf("sign the credentials of the kit: %w", err)
	}
	seed, err := user.Seed()
	if err != nil {
		return nil, err
	}
	return jwt.FormatUserConfig(token, seed)
}
