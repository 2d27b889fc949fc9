package local_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/tenancy"
	"github.com/dagyo/dagyo/services/dagyo/keyring"
	"github.com/dagyo/dagyo/services/dagyo/landlord"
	"github.com/dagyo/dagyo/services/dagyo/local"
	"github.com/dagyo/dagyo/services/dagyo/platform"
)

// shutOut waits until the server has closed a connection for good.
func shutOut(t *testing.T, nc *nats.Conn) {
	t.Helper()
	closed := nc.StatusChanged(nats.CLOSED)
	defer nc.RemoveStatusListener(closed)
	for deadline := time.After(time.Minute); !nc.IsClosed(); {
		select {
		case <-closed:
		case <-deadline:
			t.Fatal("a connection with invalid credentials is still there")
		}
	}
}

func dial(l *local.Local, creds []byte) (*nats.Conn, error) {
	return nats.Connect(l.URL(), nats.UserCredentialBytes(creds), nats.ReconnectWait(10*time.Millisecond), nats.MaxReconnects(-1))
}

func mustDial(t *testing.T, l *local.Local, creds []byte) *nats.Conn {
	t.Helper()
	nc, err := dial(l, creds)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func refused(t *testing.T, l *local.Local, who string, creds []byte) {
	t.Helper()
	nc, err := dial(l, creds)
	if err == nil {
		nc.Close()
	}
	if !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("%s: %v", who, err)
	}
}

// addUser issues credentials as `dagyo user add` does.
func addUser(t *testing.T, dir, tenant, name string, role access.Role) (creds []byte) {
	t.Helper()
	x, err := landlord.Open(t.Context(), landlord.Place{Data: dir})
	if err == nil {
		creds, err = x.Keys.AddUser(tenant, access.Credential{Role: role, Name: name})
		x.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return creds
}

// A user whose credentials are revoked is shut out at once and for good; others, and other tenants, notice nothing.
func TestRevokedCredentials(t *testing.T) {
	dir := t.TempDir()
	l, c := start(t, dir)
	addTenant(t, dir, "acme", tenancy.Limits{})
	const tenant = keyring.DefaultTenant
	ada, again := addUser(t, dir, tenant, "ada", access.User), addUser(t, dir, tenant, "ada", access.Viewer)
	bob, namesake := addUser(t, dir, tenant, "bob", access.User), addUser(t, dir, "acme", "ada", access.User)
	first, second := mustDial(t, l, ada), mustDial(t, l, again)
	others := []*nats.Conn{mustDial(t, l, bob), mustDial(t, l, namesake)}
	command := connect(t, l, client.Options{Credentials: ada})
	alive, end := command.Alive(t.Context())
	defer end()
	manage(t, dir, func(x *landlord.Landlord) {
		revoked, err := x.Keys.Revoke(tenant, "ada")
		if err == nil {
			err = x.Publish(t.Context(), tenant)
		}
		if err != nil || len(revoked) != 2 {
			t.Fatalf("revoked %d: %v", len(revoked), err)
		}
		if _, err := x.Keys.Revoke(tenant, "ada"); !errors.Is(err, keyring.ErrNoUser) {
			t.Errorf("revoked again: %v", err)
		}
	})
	shutOut(t, first)
	shutOut(t, second)
	<-alive.Done()
	refused(t, l, "ada", ada)
	refused(t, l, "ada as viewer", again)
	for _, nc := range others {
		if err := nc.Flush(); err != nil || nc.Reconnects != 0 {
			t.Errorf("another user: %v, %d reconnects", err, nc.Reconnects)
		}
	}
	mustDial(t, l, addUser(t, dir, tenant, "ada", access.User))
	completes(t, c, "after")
	stop(t, l, c)
	l, c = start(t, dir)
	defer stop(t, l, c)
	refused(t, l, "ada after a restart", ada)
	mustDial(t, l, bob)
}

const hello = `{"nodes": {"hello": {"progdef": "greet"}}, "inputs": {"words": "hello.name"}, "outputs": {"loud": "hello.greeting"}}`

// All keys are replaced, and the previous ones retired, while a flow runs: it goes on, and what the previous keys have
// signed is worth nothing.
func TestKeysAreReplacedUnderARunningFlow(t *testing.T) {
	dir := t.TempDir()
	l, c := start(t, dir)
	defer stop(t, l, c)
	before := make(map[access.Role][]byte)
	for _, r := range access.Roles() {
		before[r] = credentials(t, dir, keyring.DefaultTenant, r, "before")
	}
	stolen := mustDial(t, l, before[access.Operator])
	owner := connect(t, l, client.Options{Access: broker.Access{Creds: l.Credentials()}})
	if _, err := owner.Submit(t.Context(), "long", []byte(hello)); err != nil {
		t.Fatal(err)
	}
	ends, _, err := owner.Planned(t.Context(), "long", nil)
	if err != nil {
		t.Fatal(err)
	}
	var loud int
	reading, flows := make(chan error, 1), make(chan struct{})
	go func() {
		_, err := owner.Read(t.Context(), t.Context(), ends.Outputs["loud"], func([]byte) error {
			if loud++; loud == 1 {
				close(flows)
			}
			return nil
		})
		reading <- err
	}()
	const half = 500
	n := 0
	_, err = owner.Write(t.Context(), ends.Inputs["words"], func() ([]byte, error) {
		switch n++; n {
		case half:
			<-flows
			replaceKeys(t, dir)
			shutOut(t, stolen)
		case 2*half + 1:
			return nil, io.EOF
		}
		return fmt.Append(nil, "n", n), nil
	})
	if err = errors.Join(err, <-reading); err != nil || loud != 2*half {
		t.Errorf("%d records were read: %v", loud, err)
	}
	if e := verdictOf(t, owner, "long"); e.Type != contract.TypeFlowCompleted {
		t.Errorf("%s: %+v", e.Type, e.Data)
	}
	for r, creds := range before {
		refused(t, l, string(r), creds)
	}
	completes(t, c, "after")
}

// replaceKeys replaces the keys of all roles, and retires the previous ones once services and executors have new
// credentials.
func replaceKeys(t *testing.T, dir string) {
	t.Helper()
	home := executorFiles(t, dir)
	manage(t, dir, func(x *landlord.Landlord) {
		tenant, err := x.Keys.Tenant(keyring.DefaultTenant)
		if err == nil {
			err = x.Keys.Rotate(access.Roles()...)
		}
		if err == nil {
			err = x.Publish(t.Context())
		}
		if err == nil {
			err = x.AwaitServed(t.Context(), tenant)
		}
		if err == nil {
			err = x.AwaitReady(t.Context(), tenant)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := x.Keys.Rotate(access.User); !errors.Is(err, keyring.ErrRotated) {
			t.Errorf("keys were replaced while the previous ones are valid: %v", err)
		}
		for deadline := time.Now().Add(time.Minute); maps.Equal(home, executorFiles(t, dir)); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("the executor has no new credentials")
			}
		}
		retired, err := x.Keys.Retire(access.Roles()...)
		if err == nil {
			err = x.Publish(t.Context())
		}
		if err != nil || len(retired) != len(access.Roles()) {
			t.Fatalf("retired %v: %v", retired, err)
		}
	})
}

// executorFiles returns the credentials of the executors, by file.
func executorFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "executors", "*", "*", "own", ".dagyo", "nats.creds"))
	if err != nil || len(files) == 0 {
		t.Fatalf("executors have %d files: %v", len(files), err)
	}
	out := make(map[string]string)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		out[file] = string(text)
	}
	return out
}

// A tenant gets copies of the platform's progdefs that it may use. They follow the originals, and what is the tenant's own
// stays.
func TestPlatformProgdefs(t *testing.T) {
	dir := t.TempDir()
	l, c := start(t, dir)
	defer stop(t, l, c)
	acme := addTenant(t, dir, "acme", tenancy.Limits{})
	to := connectTo(t, l, dir, "acme")
	apply := func(c *client.Client, name, summary string) string {
		t.Helper()
		doc := fmt.Sprintf(`{"name": %q, "description": %q, "typeParams": ["T"], "command": ["true"], "inputs": {"in": "T"}, "outputs": {"out": "T"}}`, name, summary)
		applied, err := c.Apply(t.Context(), name, []byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		return applied.Revision
	}
	entry := func(name string) contract.Published {
		t.Helper()
		p, err := to.Progdef(t.Context(), name)
		if err != nil && !errors.Is(err, client.ErrUnknownProgdef) {
			t.Fatal(err)
		}
		return p
	}
	becomes := func(name, by, revision string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			p := entry(name)
			if p.By == by && p.Revision == revision {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("progdef %s is by %q with revision %q, want %q and %q", name, p.By, p.Revision, by, revision)
			}
		}
	}
	may := func(names ...string) {
		t.Helper()
		manage(t, dir, func(x *landlord.Landlord) {
			acme.Progdefs = names
			if err := errors.Join(x.Keys.Change(acme), x.Publish(t.Context(), "acme")); err != nil {
				t.Fatal(err)
			}
		})
	}
	apply(c, "model-one", "first")
	secret := apply(c, "secret", "first")
	own := apply(to, "model-own", "mine")
	apply(c, "model-own", "theirs")
	may("model-*")
	second := apply(c, "model-one", "second")
	becomes("model-one", platform.User, second)
	becomes("model-own", "pat", own)
	if p := entry("secret"); p.Revision != "" {
		t.Errorf("the tenant has a progdef that it may not use: %+v", p)
	}
	may("secret")
	becomes("secret", platform.User, secret)
	becomes("model-one", "", "")
	becomes("model-own", "pat", own)
	if err := c.Remove(t.Context(), "secret"); err != nil {
		t.Fatal(err)
	}
	becomes("secret", "", "")
}
