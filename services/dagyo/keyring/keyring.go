package keyring

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	"github.com/nats-io/nuid"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/document"
)

// DefaultTenant is the tenant of an installation that has not been told of any other.
const DefaultTenant = "default"

// A Keyring is an installation's keys.
type Keyring struct {
	dir              string
	operator, system nkeys.KeyPair
	accounts         access.Secret
	roles            map[access.Role]access.Secret
}

// A Tenant is what the keyring stores of a tenant.
type Tenant struct {
	Name string `json:"name"`
	// ID distinguishes it from earlier tenants with its name.
	ID string `json:"id"`
	// Generations count how often the keys of a role were replaced, from 1.
	Generations map[access.Role]int `json:"generations"`
	Created     time.Time           `json:"created"`
}

// Exists reports whether a folder has keys.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "operator.nk"))
	return err == nil
}

// Open returns the keys in a folder. It makes those that are missing, and the default tenant if there is none. Only
// one process at a time may call it for a folder without keys.
func Open(dir string) (*Keyring, error) {
	k := &Keyring{dir: dir, roles: make(map[access.Role]access.Secret)}
	if err := k.open(); err != nil {
		return nil, fmt.Errorf("open the keys in %s: %w", dir, err)
	}
	return k, nil
}

func (k *Keyring) open() (err error) {
	for _, sub := range []string{"", "roles", "tenants"} {
		if err := os.MkdirAll(filepath.Join(k.dir, sub), 0o700); err != nil {
			return err
		}
	}
	if k.operator, err = k.seed("operator.nk", nkeys.CreateOperator); err != nil {
		return err
	}
	if k.system, err = k.seed("system.nk", nkeys.CreateAccount); err != nil {
		return err
	}
	if k.accounts, err = k.secret("accounts.secret"); err != nil {
		return err
	}
	for _, r := range access.Roles() {
		if k.roles[r], err = k.secret(filepath.Join("roles", string(r)+".secret")); err != nil {
			return err
		}
	}
	all, err := k.Tenants()
	if err == nil && len(all) == 0 {
		_, err = k.Add(DefaultTenant)
	}
	return err
}

// seed reads a seed, or makes it.
func (k *Keyring) seed(name string, create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, error) {
	text, err := k.kept(name, func() ([]byte, error) {
		key, err := create()
		if err != nil {
			return nil, err
		}
		return key.Seed()
	})
	if err != nil {
		return nil, err
	}
	key, err := nkeys.FromSeed(text)
	if err != nil {
		return nil, fmt.Errorf("%s is not a seed: %w", name, err)
	}
	return key, nil
}

func (k *Keyring) secret(name string) (s access.Secret, err error) {
	text, err := k.kept(name, func() ([]byte, error) {
		s := access.NewSecret()
		return []byte(base64.StdEncoding.EncodeToString(s[:])), nil
	})
	if err != nil {
		return s, err
	}
	raw, err := base64.StdEncoding.DecodeString(string(text))
	if err != nil || len(raw) != len(s) {
		return s, fmt.Errorf("%s is not a secret of %d bytes in Base64", name, len(s))
	}
	return access.Secret(raw), nil
}

// kept returns the content of a file, without its last line feed. If it does not exist, it is made.
func (k *Keyring) kept(name string, create func() ([]byte, error)) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(k.dir, name))
	if !errors.Is(err, fs.ErrNotExist) {
		if n := len(text); n > 0 && text[n-1] == '\n' {
			text = text[:n-1]
		}
		return text, err
	}
	if text, err = create(); err != nil {
		return nil, err
	}
	return text, k.write(name, append(text[:len(text):len(text)], '\n'))
}

// write stores a file completely or not at all.
func (k *Keyring) write(name string, content []byte) error {
	path := filepath.Join(k.dir, name)
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// Tenants returns the tenants, sorted by name.
func (k *Keyring) Tenants() ([]Tenant, error) {
	files, err := filepath.Glob(filepath.Join(k.dir, "tenants", "*.json"))
	if err != nil {
		return nil, err
	}
	out := make([]Tenant, len(files))
	for i, file := range files {
		text, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &out[i])
		}
		if err != nil {
			return nil, fmt.Errorf("read tenant %s: %w", file, err)
		}
	}
	return out, nil
}

// Tenant returns a tenant.
func (k *Keyring) Tenant(name string) (t Tenant, err error) {
	if !document.ValidName(name) {
		return t, fmt.Errorf("%q is not the name of a tenant: it must match %s", name, document.NamePattern)
	}
	text, err := os.ReadFile(filepath.Join(k.dir, "tenants", name+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		return t, fmt.Errorf("tenant %q does not exist", name)
	}
	if err == nil {
		err = json.Unmarshal(text, &t)
	}
	return t, err
}

// Add adds a tenant.
func (k *Keyring) Add(name string) (t Tenant, err error) {
	if !document.ValidName(name) {
		return t, fmt.Errorf("%q is not the name of a tenant: it must match %s", name, document.NamePattern)
	}
	if _, err := os.Stat(filepath.Join(k.dir, "tenants", name+".json")); err == nil {
		return t, fmt.Errorf("tenant %q already exists", name)
	}
	t = Tenant{Name: name, ID: nuid.Next(), Generations: make(map[access.Role]int), Created: time.Now().UTC().Truncate(time.Second)}
	for _, r := range access.Roles() {
		t.Generations[r] = 1
	}
	text, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return t, err
	}
	return t, k.write(filepath.Join("tenants", name+".json"), append(text, '\n'))
}

// Trust is what a NATS server must know to check credentials.
type Trust struct {
	Operator *jwt.OperatorClaims
	// System is the server's own account. Accounts are the signed claims of all accounts, by public key.
	System   string
	Accounts map[string]string
}

// Trust returns what a server of the installation must know.
func (k *Keyring) Trust() (t Trust, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("sign the accounts: %w", err)
		}
	}()
	public, err := k.operator.PublicKey()
	if err != nil {
		return t, err
	}
	if t.System, err = k.system.PublicKey(); err != nil {
		return t, err
	}
	operator := jwt.NewOperatorClaims(public)
	operator.Name, operator.SystemAccount = "dagyo", t.System
	token, err := operator.Encode(k.operator)
	if err != nil {
		return t, err
	}
	if t.Operator, err = jwt.DecodeOperatorClaims(token); err != nil {
		return t, err
	}
	system := jwt.NewAccountClaims(t.System)
	system.Name = "system"
	t.Accounts = make(map[string]string)
	if t.Accounts[t.System], err = system.Encode(k.operator); err != nil {
		return t, err
	}
	tenants, err := k.Tenants()
	for _, x := range tenants {
		if err == nil {
			err = k.sign(x, t.Accounts)
		}
	}
	return t, err
}

// sign adds the signed claims of a tenant's accounts.
func (k *Keyring) sign(x Tenant, accounts map[string]string) error {
	t, err := k.access(x)
	if err != nil {
		return err
	}
	for a, public := range t.Accounts {
		claims, err := t.Claims(a)
		if err != nil {
			return err
		}
		if accounts[public], err = claims.Encode(k.operator); err != nil {
			return err
		}
	}
	return nil
}

// access returns the public keys of a tenant.
func (k *Keyring) access(x Tenant) (t access.Tenant, err error) {
	t = access.Tenant{Name: x.Name, Accounts: make(map[access.Account]string), Signers: make(map[access.Role]string)}
	for _, a := range access.Accounts() {
		key, err := k.accounts.Account(x.ID, a)
		if err != nil {
			return t, err
		}
		if t.Accounts[a], err = key.PublicKey(); err != nil {
			return t, err
		}
	}
	for _, r := range access.Roles() {
		key, err := k.roles[r].Signer(x.ID, x.Generations[r])
		if err != nil {
			return t, err
		}
		if t.Signers[r], err = key.PublicKey(); err != nil {
			return t, err
		}
	}
	return t, nil
}

// Accounts returns the public keys of a tenant's accounts.
func (k *Keyring) Accounts(tenant string) (map[access.Account]string, error) {
	x, err := k.Tenant(tenant)
	if err != nil {
		return nil, err
	}
	t, err := k.access(x)
	return t.Accounts, err
}

// Issue returns a credential of a role in a tenant, as the content of a credentials file. The account in c is set here.
func (k *Keyring) Issue(tenant string, c access.Credential) ([]byte, error) {
	secret, ok := k.roles[c.Role]
	if !ok {
		return nil, fmt.Errorf("there is no role %q", c.Role)
	}
	x, err := k.Tenant(tenant)
	if err != nil {
		return nil, err
	}
	t, err := k.access(x)
	if err != nil {
		return nil, err
	}
	signer, err := secret.Signer(x.ID, x.Generations[c.Role])
	if err != nil {
		return nil, err
	}
	defer signer.Wipe()
	c.Account = t.Accounts[c.Role.Account()]
	return access.Issue(signer, c)
}
