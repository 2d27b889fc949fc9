package access

import (
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
		Name: "ada", Accounts: map[access.Account]string{}, Signers: map[access.Role][]string{},
	}
	for _, a := range access.Accounts() {
		x.tenant.Accounts[a] = public(must(accounts.Account(tenantID, a)))
	}
	for _, r := range access.Roles() {
		x.secrets[r] = access.NewSecret()
		x.tenant.Signers[r] = []string{public(must(x.secrets[r].Signer(tenantID)))}
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

// connect connects as a role. What the server refuses is ignored.
func (x *installation) connect(r access.Role, name, mailbox string) *nats.Conn {
	x.t.Helper()
	creds := must(access.Issue(must(x.secrets[r].Signer(tenantID)), access.Credential{
		Role: r, Name: name, Account: x.tenant.Accounts[r.Account()], Mailbox: mailbox,
	}))
	token, key := must(jwt.ParseDecoratedJWT(creds)), must(jwt.ParseDecoratedUserNKey(creds))
	seed := must(key.Seed())
	nc := must(nats.Connect(x.ns.ClientURL(), nats.UserJWTAndSeed(token, string(seed)),
		nats.CustomInboxPrefix(access.InboxPrefix(r, name)), nats.NoReconnect(),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})))
	x.t.Cleanup(nc.Close)
	return nc
}
