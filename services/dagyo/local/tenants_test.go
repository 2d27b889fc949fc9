package local_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/tenancy"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
	"github.com/dagyo/dagyo/services/dagyo/landlord"
	"github.com/dagyo/dagyo/services/dagyo/local"
)

// manage calls do as `dagyo tenant` does.
func manage(t testing.TB, dir string, do func(*landlord.Landlord)) {
	t.Helper()
	x, err := landlord.OpenAll(t.Context(), landlord.Place{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	do(x)
}

// addTenant adds a tenant and waits until it is ready.
func addTenant(t testing.TB, dir, name string, limits tenancy.Limits) (out keyring.Tenant) {
	t.Helper()
	manage(t, dir, func(x *landlord.Landlord) {
		var err error
		if out, err = x.Keys.Add(keyring.Tenant{Name: name, Limits: limits}); err == nil {
			err = x.Publish(t.Context(), name)
		}
		if err == nil {
			err = x.Await(t.Context(), out.ID, access.TenantReady)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	return out
}

func limitTenant(t *testing.T, dir string, of keyring.Tenant, limits tenancy.Limits) {
	t.Helper()
	manage(t, dir, func(x *landlord.Landlord) {
		err := errors.Join(x.Keys.Change(keyring.Tenant{Name: of.Name, Limits: limits}), x.Publish(t.Context(), of.Name))
		if err == nil {
			err = x.AwaitServed(t.Context(), of)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}

func removeTenant(t *testing.T, dir string, of keyring.Tenant) {
	t.Helper()
	manage(t, dir, func(x *landlord.Landlord) {
		err := errors.Join(x.Keys.Remove(of.Name), x.Publish(t.Context(), of.Name))
		if err == nil {
			err = x.Await(t.Context(), of.ID, access.TenantGone)
		}
		if err = errors.Join(err, x.Clear(t.Context(), of.ID)); err != nil {
			t.Fatal(err)
		}
	})
}

func credentials(t *testing.T, dir, tenant string, role access.Role, name string) []byte {
	t.Helper()
	keys, err := keyring.Open(keyring.In(dir))
	if err != nil {
		t.Fatal(err)
	}
	out, err := keys.Issue(tenant, access.Credential{Role: role, Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func connectTo(t *testing.T, l *local.Local, dir, tenant string) *client.Client {
	t.Helper()
	c, err := client.Connect(t.Context(), client.Options{
		URL: l.URL(), Source: "/test", Credentials: credentials(t, dir, tenant, access.Publisher, "pat"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// inside connects with the rights of a service.
func inside(t *testing.T, l *local.Local, dir, tenant string, role access.Role) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(l.URL(), nats.UserCredentialBytes(credentials(t, dir, tenant, role, string(role))),
		nats.CustomInboxPrefix(access.InboxPrefix(role, "")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func completes(t *testing.T, c *client.Client, flow string) {
	t.Helper()
	if e := verdict(t, c, flow, namesToNowhere); e.Type != contract.TypeFlowCompleted {
		t.Errorf("flow %s: %s: %+v", flow, e.Type, e.Data)
	}
}

func TestTenantsSeeNothingOfEachOther(t *testing.T) {
	dir := t.TempDir()
	l, c := start(t, dir)
	defer stop(t, l, c)
	acme := addTenant(t, dir, "acme", tenancy.Limits{})
	other := connectTo(t, l, dir, "acme")

	nc, err := nats.Connect(l.URL(), nats.UserCredentialBytes(credentials(t, dir, "acme", access.Operator, "spy")))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	var mu sync.Mutex
	var heard []string
	for _, subject := range []string{"flow.*.*", "job.*.*.>", "executor.*.*.*", "progdef.*.*", "deadletter"} {
		if _, err := nc.Subscribe(subject, func(m *nats.Msg) { mu.Lock(); defer mu.Unlock(); heard = append(heard, m.Subject) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}

	// The same names, with another meaning for each tenant.
	const mine = `{"name": "source", "outputs": {"name": "utf8-string"}, "command": ["sh", "-c", "exit 3"]}`
	if _, err := c.Apply(t.Context(), "source", []byte(mine)); err != nil {
		t.Fatal(err)
	}
	if e := verdict(t, c, "same", namesToNowhere); e.Type != contract.TypeFlowPanic {
		t.Errorf("the default tenant's own source: %s", e.Type)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	if len(heard) > 0 {
		t.Errorf("tenant acme hears %v of the default tenant", heard)
	}
	mu.Unlock()
	if _, err := other.Flow(t.Context(), "same"); !errors.Is(err, client.ErrUnknownFlow) {
		t.Errorf("tenant acme sees a flow of the default tenant: %v", err)
	}
	completes(t, other, "same")
	if s, err := c.Flow(t.Context(), "same"); err != nil || s.Verdict != contract.TypeFlowPanic {
		t.Errorf("flow same of the default tenant: %+v, %v", s, err)
	}
	ours, theirs := executors(dir, ""), executors(dir, acme.ID)
	if len(ours) == 0 || len(theirs) != 2 || slices.ContainsFunc(ours, func(id string) bool { return slices.Contains(theirs, id) }) {
		t.Errorf("the executors of the default tenant are %v, those of acme %v", ours, theirs)
	}
}

// executors returns the ids of a tenant's executors.
func executors(dir, place string) (ids []string) {
	at := filepath.Join(dir, "executors", "executors")
	if place != "" {
		at = filepath.Join(dir, "executors", "tenants", place, "executors")
	}
	all, _ := os.ReadDir(at) // none before the first start
	for _, x := range all {
		ids = append(ids, x.Name())
	}
	return ids
}

// Adding a tenant takes no restart, and neither does removing one. Nothing of it is left.
func TestTenantsComeAndGo(t *testing.T) {
	dir := t.TempDir()
	l, c := start(t, dir)
	began := time.Now()
	acme := addTenant(t, dir, "acme", tenancy.Limits{Storage: tenancy.DefaultStorage})
	mine := connectTo(t, l, dir, "acme")
	completes(t, mine, "one")
	t.Logf("added, and the first flow has ended, after %v", time.Since(began))

	mine.Close()
	stop(t, l, c)
	l, c = start(t, dir)
	mine = connectTo(t, l, dir, "acme")
	if s, err := mine.Flow(t.Context(), "one"); err != nil || s.Verdict != contract.TypeFlowCompleted {
		t.Errorf("after a restart: %+v, %v", s, err)
	}
	const endless = `{"name": "endless", "outputs": {"out": "octets"}, "command": ["sleep", "1000"]}`
	if _, err := mine.Apply(t.Context(), "endless", []byte(endless)); err != nil {
		t.Fatal(err)
	}
	if _, err := mine.Submit(t.Context(), "lasts", []byte(`{"nodes": {"n": {"progdef": "endless"}}, "outputs": {"o": "n.out"}}`)); err != nil {
		t.Fatal(err)
	}
	for len(executors(dir, acme.ID)) == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	removeTenant(t, dir, acme)
	completes(t, c, "other")
	stop(t, l, c)
	_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, _ error) error {
		if strings.Contains(path, acme.ID) || strings.Contains(path, "acme") {
			t.Errorf("%s is left", path)
		}
		return nil
	})
	accounts, err := os.ReadDir(filepath.Join(dir, "nats", "jetstream"))
	if err != nil || len(accounts) != 1 {
		t.Errorf("the server has data of %v, %v", accounts, err)
	}
}

// A tenant whose storage is full is told so, and comes back with more.
func TestFullTenantHarmsNoOther(t *testing.T) {
	dir := t.TempDir()
	l, c := start(t, dir)
	defer stop(t, l, c)
	acme := addTenant(t, dir, "acme", tenancy.Limits{Storage: 64 << 20})
	mine := connectTo(t, l, dir, "acme")
	completes(t, mine, "before")

	js, err := jetstream.New(inside(t, l, dir, "acme", access.Planner))
	if err != nil {
		t.Fatal(err)
	}
	bucket, err := js.ObjectStore(t.Context(), contract.BucketData)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; err == nil; n++ {
		if n > 100 {
			t.Fatal("the limit of storage is not kept")
		}
		_, err = bucket.PutBytes(t.Context(), fmt.Sprint(n), make([]byte, 4<<20))
	}
	t.Logf("the account is full: %v", err)
	completes(t, c, "other")
	limitTenant(t, dir, acme, tenancy.Limits{Storage: 256 << 20})
	completes(t, mine, "after")
}

// A tenant without streams, with a flood of submissions or with broken services disturbs no other.
func TestBrokenTenantHarmsNoOther(t *testing.T) {
	dir := t.TempDir()
	l, c := start(t, dir)
	defer stop(t, l, c)
	addTenant(t, dir, "acme", tenancy.Limits{})
	mine := connectTo(t, l, dir, "acme")
	completes(t, mine, "before")

	ctx, cancel := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	for i := range 4 {
		flood.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				_, _ = mine.Submit(ctx, fmt.Sprintf("flood-%d-%d", i, n), []byte(`{"nodes": {"x": {"progdef": "nothing"}}}`))
			}
		})
	}
	for i := range 5 {
		completes(t, c, fmt.Sprintf("flooded-%d", i))
	}
	cancel()
	flood.Wait()

	nc := inside(t, l, dir, "acme", access.Planner)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for names := js.StreamNames(t.Context()); ; {
		name, ok := <-names.Name()
		if !ok {
			break
		}
		if err := js.DeleteStream(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	for i := range 3 {
		completes(t, c, fmt.Sprintf("deleted-%d", i))
	}
	// Its catalogue is gone, but its services start again.
	const own = `{"name": "own", "outputs": {"name": "utf8-string"}, "command": ["dagyo", "executor", "source"]}`
	for {
		_, err := mine.Apply(t.Context(), "own", []byte(own))
		if err == nil {
			break
		}
		t.Logf("not yet: %v", err)
		time.Sleep(100 * time.Millisecond)
	}
	e := verdict(t, mine, "after", `{"nodes": {"n": {"progdef": "own"}}, "outputs": {"names": "n.name"}}`)
	if e.Type != contract.TypeFlowCompleted {
		t.Errorf("%s: %+v", e.Type, e.Data)
	}
}

// Tenants share the places for executors: idle executors of one make room for the flows of another.
func TestTenantsSharePlaces(t *testing.T) {
	dir := t.TempDir()
	c := config(t, dir)
	c.Services.Spawner.Limits.Executors = 4
	l, first := startWith(t, c)
	defer stop(t, l, first)
	completes(t, first, "one") // two executors, idle from now on
	clients := []*client.Client{first}
	for _, name := range []string{"a", "b"} {
		addTenant(t, dir, name, tenancy.Limits{})
		clients = append(clients, connectTo(t, l, dir, name))
	}
	for round := range 3 {
		for i, mine := range clients {
			completes(t, mine, fmt.Sprintf("round-%d-%d", round, i))
		}
	}
	var all sync.WaitGroup
	for i, mine := range clients {
		for n := range 3 {
			all.Go(func() { completes(t, mine, fmt.Sprintf("at-once-%d-%d", i, n)) })
		}
	}
	all.Wait()
}

// Services may read which tenants there are, and change nothing.
func TestRegistryOnlyReads(t *testing.T) {
	dir := t.TempDir()
	l, c := start(t, dir)
	defer stop(t, l, c)
	keys, err := keyring.Open(keyring.In(dir))
	if err != nil {
		t.Fatal(err)
	}
	file, err := keys.IssueSystem(access.Registry, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	denied := make(chan error, 10)
	nc, err := nats.Connect(l.URL(), nats.UserCredentialBytes(file), nats.CustomInboxPrefix(access.Registry.Inbox()),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { denied <- err }))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	claims, err := tenancy.Claims(t.Context(), nc)
	if err != nil || len(claims) != 4 {
		t.Errorf("the registry reads %d claims, %v", len(claims), err)
	}
	for _, subject := range []string{
		access.SubjectUpdate, access.SubjectDelete, access.SubjectPurge + "X", access.SubjectTenants, "$SYS.REQ.SERVER.PING", "$SYS.REQ.ACCOUNT.X.CLAIMS.UPDATE",
		"$SYS.ACCOUNT.X.CLAIMS.UPDATE",
	} {
		if err := nc.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		if err := <-denied; !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("%s: %v", subject, err)
		}
	}
}

// A tenant that is removed while Dagyo does not run is gone after the next start.
func TestRemovedWhileStopped(t *testing.T) {
	dir := t.TempDir()
	l, c := start(t, dir)
	acme := addTenant(t, dir, "acme", tenancy.Limits{})
	mine := connectTo(t, l, dir, "acme")
	completes(t, mine, "one")
	mine.Close()
	stop(t, l, c)
	manage(t, dir, func(x *landlord.Landlord) {
		if err := errors.Join(x.Keys.Remove("acme"), x.Publish(t.Context(), "acme"), x.Clear(t.Context(), acme.ID)); err != nil {
			t.Fatal(err)
		}
		if x.Running() {
			t.Error("Dagyo is said to run")
		}
		if _, err := local.Start(t.Context(), config(t, dir)); !errors.Is(err, local.ErrInUse) {
			t.Errorf("started while tenants are changed: %v", err)
		}
	})
	l, c = start(t, dir)
	completes(t, c, "two")
	place := filepath.Join(dir, "executors", "tenants", acme.ID)
	for {
		if _, err := os.Stat(place); errors.Is(err, fs.ErrNotExist) {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop(t, l, c)
	if accounts, err := os.ReadDir(filepath.Join(dir, "nats", "jetstream")); err != nil || len(accounts) != 1 {
		t.Errorf("the server has data of %v, %v", accounts, err)
	}
}
