package keyring

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/moby/sys/atomicwriter"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/tenancy"
)

// DefaultTenant is the tenant of an installation that has not been told of any other.
const DefaultTenant = "default"

// A Keyring is an installation's keys.
type Keyring struct {
	dir              string
	operator, system nkeys.KeyPair
	accounts         access.Secret
	replicas         int // SetReplicas
}

// A Tenant is what the keyring stores of a tenant.
type Tenant struct {
	Name string `json:"name"`
	// ID distinguishes it from earlier tenants with its name.
	ID      string         `json:"id"`
	Created time.Time      `json:"created"`
	Limits  tenancy.Limits `json:"limits,omitzero"`
	// Namespace and Progdefs are those of tenancy.Tenant.
	Namespace string   `json:"namespace,omitempty"`
	Progdefs  []string `json:"progdefs,omitempty"`
	// SignIn are the roles of which persons who sign in with a provider may get credentials.
	SignIn []access.Role `json:"signIn,omitempty"`
}

// ErrNoTenant is returned for a tenant that does not exist.
var ErrNoTenant = errors.New("there is no such tenant")

// Exists reports whether a folder has keys.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "operator.nk"))
	return err == nil
}

// Dir is the folder of the keys in the data directory of `dagyo up`, and in the folder that `dagyo init auth` makes.
const Dir = "keys"

// In returns the folder of the keys in a data directory.
func In(data string) string { return filepath.Join(data, Dir) }

// ErrNoKeys is returned for a directory without keys.
var ErrNoKeys = errors.New("there are no keys")

// Find opens the keys in a data directory that has some.
func Find(data string) (*Keyring, error) {
	dir := In(data)
	if !Exists(dir) {
		return nil, fmt.Errorf("%w in %s: start Dagyo with `dagyo up`, or set its data directory with --data", ErrNoKeys, dir)
	}
	return Open(dir)
}

// Open returns the keys in a folder. It makes those that are missing, and the default tenant if there is none. Only
// one process at a time may call it for a folder without keys.
func Open(dir string) (*Keyring, error) {
	k := &Keyring{dir: dir}
	if err := k.open(); err != nil {
		return nil, fmt.Errorf("open the keys in %s: %w", dir, err)
	}
	return k, nil
}

func (k *Keyring) open() (err error) {
	for _, sub := range []string{"", "roles", "tenants", removedDir, usersDir} {
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
	for _, r := range Kinds() {
		if _, err = k.secret(current(r)); err != nil {
			return err
		}
	}
	if err := k.readReplicas(); err != nil {
		return err
	}
	all, err := k.Tenants()
	if err == nil && len(all) == 0 {
		_, err = k.Add(Tenant{Name: DefaultTenant})
	}
	return err
}

// replicasFile is missing where services store everything once.
const replicasFile = "replicas"

func (k *Keyring) readReplicas() error {
	text, err := os.ReadFile(filepath.Join(k.dir, replicasFile))
	if errors.Is(err, fs.ErrNotExist) {
		k.replicas = 1
		return nil
	}
	if err == nil {
		k.replicas, err = strconv.Atoi(strings.TrimSpace(string(text)))
	}
	if err == nil && (k.replicas < 1 || k.replicas > 5) {
		err = fmt.Errorf("%d is not between 1 and 5", k.replicas)
	}
	if err != nil {
		return fmt.Errorf("read %s: %w", replicasFile, err)
	}
	return nil
}

// SetReplicas keeps how often services store everything (--replicas of the services): NATS counts each replica of what a tenant
// stores.
func (k *Keyring) SetReplicas(n int) error {
	if n < 1 || n > 5 {
		return fmt.Errorf("replicas: %d is not between 1 and 5", n)
	}
	switch {
	case n == k.replicas:
		return nil
	case n < k.replicas:
		return fmt.Errorf("replicas: %d is less than before, %d: the storage of tenants cannot be lowered", n, k.replicas)
	}
	k.replicas = n
	return atomicwriter.WriteFile(filepath.Join(k.dir, replicasFile), []byte(strconv.Itoa(n)+"\n"), 0o600)
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
	return parseSecret(name, text)
}

func parseSecret(name string, text []byte) (s access.Secret, err error) {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(text)))
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
	return text, atomicwriter.WriteFile(filepath.Join(k.dir, name), append(text[:len(text):len(text)], '\n'), 0o600)
}

// Trust is what a NATS server must know to check credentials.
type Trust struct {
	Operator *jwt.OperatorClaims
	// System is the server's own account. Accounts are the signed claims of all accounts, by public key.
	System   string
	Accounts map[string]string
	// records are those of the tenants' records, of which services learn that there is a tenant.
	records []record
}

// A record is the signed claims of a tenant's record.
type record struct {
	tenant      tenancy.Tenant
	key, claims string
}

// Trust returns what a server of the installation must know.
func (k *Keyring) Trust() (Trust, error) { return k.trust(nil) }

// trust returns that of the named tenants, or of all, and of those that were removed.
func (k *Keyring) trust(names []string) (t Trust, err error) {
	all, err := k.Tenants()
	if err != nil {
		return t, err
	}
	var rights []access.Tenant
	var records []tenancy.Tenant
	for _, x := range all {
		if len(names) > 0 && !slices.Contains(names, x.Name) {
			continue
		}
		r, record, err := k.access(x)
		if err != nil {
			return t, err
		}
		rights, records = append(rights, r), append(records, record)
	}
	removed, err := k.left()
	if err != nil {
		return t, err
	}
	for _, x := range removed { // so that services stop
		record, err := k.tenancy(x)
		if err != nil {
			return t, err
		}
		record.Removed = true
		records = append(records, record)
	}
	if t, err = NewTrust(k.operator, k.system, rights...); err != nil {
		return t, err
	}
	for _, r := range records {
		if err := k.signRecord(r, &t); err != nil {
			return t, err
		}
	}
	return t, nil
}

// NewTrust returns what a server of an operator must know. system is the key of the server's own account.
func NewTrust(operator, system nkeys.KeyPair, tenants ...access.Tenant) (t Trust, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("sign the accounts: %w", err)
		}
	}()
	public, err := operator.PublicKey()
	if err != nil {
		return t, err
	}
	if t.System, err = system.PublicKey(); err != nil {
		return t, err
	}
	claims := jwt.NewOperatorClaims(public)
	claims.Name, claims.SystemAccount = "dagyo", t.System
	token, err := claims.Encode(operator)
	if err != nil {
		return t, err
	}
	if t.Operator, err = jwt.DecodeOperatorClaims(token); err != nil {
		return t, err
	}
	own := jwt.NewAccountClaims(t.System)
	own.Name = "system"
	t.Accounts = make(map[string]string)
	if t.Accounts[t.System], err = own.Encode(operator); err != nil {
		return t, err
	}
	for _, x := range tenants {
		if err := sign(x, operator, t.Accounts); err != nil {
			return t, err
		}
	}
	return t, nil
}

// sign adds the signed claims of a tenant's accounts.
func sign(t access.Tenant, operator nkeys.KeyPair, accounts map[string]string) error {
	for a, public := range t.Accounts {
		claims, err := t.Claims(a)
		if err != nil {
			return err
		}
		if accounts[public], err = claims.Encode(operator); err != nil {
			return err
		}
	}
	return nil
}

func (k *Keyring) signRecord(t tenancy.Tenant, to *Trust) error {
	public, err := k.account(t.ID, access.Record)
	if err != nil {
		return err
	}
	claims, err := t.Claims(public)
	if err != nil {
		return err
	}
	token, err := claims.Encode(k.operator)
	to.records = append(to.records, record{t, public, token})
	return err
}

// access returns the public keys of a tenant, and what services know of it.
func (k *Keyring) access(x Tenant) (rights access.Tenant, t tenancy.Tenant, err error) {
	if t, err = k.tenancy(x); err != nil {
		return rights, t, err
	}
	rights = access.Tenant{Name: t.Name, Accounts: t.Accounts, Limits: k.limits(t.Limits)}
	if rights.Signers, err = k.signers(x); err != nil {
		return rights, t, err
	}
	rights.Revoked, err = k.revoked(x.ID, rights.Signers)
	return rights, t, err
}

// limits returns the limits of a tenant's accounts. Only the account of services stores anything; persons and executors
// connect to the other one.
func (k *Keyring) limits(l tenancy.Limits) map[access.Account]access.Limits {
	inside, outside := access.Unlimited(), access.Unlimited()
	for _, set := range []struct {
		limit *int64
		to    int64
	}{{&inside.Disk, l.Storage * int64(k.replicas)}, {&inside.Memory, l.Memory}, {&outside.Connections, l.Connections}, {&outside.Payload, l.Payload}} {
		if set.to > 0 {
			*set.limit = set.to
		}
	}
	return map[access.Account]access.Limits{access.Inside: inside, access.Outside: outside}
}

// tenancy returns what services know of a tenant.
func (k *Keyring) tenancy(x Tenant) (t tenancy.Tenant, err error) {
	t = tenancy.Tenant{
		Name: x.Name, ID: x.ID, Limits: x.Limits, Namespace: x.Namespace, Progdefs: x.Progdefs,
		Accounts: make(map[access.Account]string), Signers: make(map[access.Role]string),
	}
	for _, a := range access.Accounts() {
		if t.Accounts[a], err = k.account(x.ID, a); err != nil {
			return t, err
		}
	}
	for _, r := range access.Roles() {
		secret, err := k.Secret(r)
		if err != nil {
			return t, err
		}
		if t.Signers[r], err = secret.PublicSigner(x.ID); err != nil {
			return t, err
		}
	}
	return t, nil
}

// account returns the public key of an account of a tenant.
func (k *Keyring) account(id string, a access.Account) (string, error) {
	key, err := k.accounts.Account(id, a)
	if err != nil {
		return "", err
	}
	return key.PublicKey()
}

// Accounts returns the public keys of a tenant's accounts.
func (k *Keyring) Accounts(tenant string) (map[access.Account]string, error) {
	x, err := k.Tenant(tenant)
	if err != nil {
		return nil, err
	}
	t, err := k.tenancy(x)
	return t.Accounts, err
}

// Issue returns a credential of a role in a tenant, as the content of a credentials file. The account in c is set here.
// It is not recorded, and cannot be revoked: see AddUser.
func (k *Keyring) Issue(tenant string, c access.Credential) ([]byte, error) {
	x, err := k.Tenant(tenant)
	if err != nil {
		return nil, err
	}
	return k.issue(x, c)
}

func (k *Keyring) issue(x Tenant, c access.Credential) ([]byte, error) {
	secret, err := k.Secret(c.Role)
	if err != nil {
		return nil, err
	}
	t, err := k.tenancy(x)
	if err != nil {
		return nil, err
	}
	return t.Issue(secret, c)
}

// IssueSystem returns a credential of a role in the account of the server.
func (k *Keyring) IssueSystem(r access.SystemRole, expires time.Time) ([]byte, error) {
	return access.IssueSystem(k.system, r, expires)
}
