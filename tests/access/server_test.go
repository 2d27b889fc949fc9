package access

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/dagyo/dagyo/pkg/access"
)

// An installation is a server in operator mode with one tenant.
type installation struct {
	t       *testing.T
	ns      *server.Server
	secrets map[access.Role]access.Secret
	tenant  access.Tenant
}

const tenantID = "t1"

func install(t *testing.T) *installation {
	t.Helper()
	x := &installation{t: t, secrets: map[access.Role]access.Secret{}}
	operator := must(nkeys.CreateOperator())
	system := public(must(nkeys.CreateAccount()))
	accounts := access.NewSecret()
	x.tenant = access.Tenant{
		Name: "ada", Accounts: map[access.Account]string{}, Signers: map[access.Role]string{},
	}
	for _, a := range access.Accounts() {
		x.tenant.Accounts[a] = public(must(accounts.Account(tenantID, a)))
	}
	for _, r := range access.Roles() {
		x.secrets[r] = access.NewSecret()
		x.tenant.Signers[r] = public(must(x.secrets[r].Signer(tenantID, 1)))
	}
	claims := jwt.NewOperatorClaims(public(operator))
	claims.SystemAccount = system
	trusted := must(jwt.DecodeOperatorClaims(must(claims.Encode(operator))))
	resolver := &server.MemAccResolver{}
	check(resolver.Store(system, must(jwt.NewAccountClaims(system).Encode(operator))))
	for a, key := range x.tenant.Accounts {
		check(resolver.Store(key, must(must(x.tenant.Claims(a)).Encode(operator))))
	}
	x.ns = must(server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
		TrustedOperators: []*jwt.OperatorClaims{trusted}, AccountResolver: resolver, SystemAccount: system,
	}))
	x.ns.Start()
	t.Cleanup(func() { x.ns.Shutdown(); x.ns.WaitForShutdown() })
	if !x.ns.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	return x
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func public(k nkeys.KeyPair) string { return must(k.PublicKey()) }

// A party is a connection of a role, which notes what is refused.
type party struct {
	*nats.Conn
	mu     sync.Mutex
	denied []string
}

func (x *installation) connect(r access.Role, name, mailbox string) *party {
	x.t.Helper()
	creds := must(access.Issue(must(x.secrets[r].Signer(tenantID, 1)), access.Credential{
		Role: r, Name: name, Account: x.tenant.Accounts[r.Account()], Mailbox: mailbox,
	}))
	p := new(party)
	token, key := must(jwt.ParseDecoratedJWT(creds)), must(jwt.ParseDecoratedUserNKey(creds))
	seed := must(key.Seed())
	p.Conn = must(nats.Connect(x.ns.ClientURL(), nats.UserJWTAndSeed(token, string(seed)),
		nats.CustomInboxPrefix(access.InboxPrefix(r, name)), nats.NoReconnect(),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.denied = append(p.denied, err.Error())
		})))
	x.t.Cleanup(p.Close)
	return p
}

// refused returns what was refused since the last call.
func (p *party) refused() []string {
	check(p.Flush())
	p.mu.Lock()
	defer p.mu.Unlock()
	defer func() { p.denied = nil }()
	return slices.Clone(p.denied)
}
