package keyring

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/jwt/v2"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/tenancy"
)

func openIn(t *testing.T, dir string) *Keyring {
	t.Helper()
	k, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func names(t *testing.T, k *Keyring) (out []string) {
	t.Helper()
	all, err := k.Tenants()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range all {
		out = append(out, x.Name)
	}
	return out
}

func TestTenantsAreKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	k := openIn(t, dir)
	first, err := k.Add(Tenant{Name: "acme", Limits: tenancy.Limits{Storage: tenancy.DefaultStorage}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Add(Tenant{Name: "acme"}); err == nil {
		t.Error("a tenant was added twice")
	}
	if _, err := k.Add(Tenant{Name: "../x"}); err == nil {
		t.Error("a tenant was added outside of its folder")
	}
	k = openIn(t, dir)
	if got := names(t, k); len(got) != 2 || got[0] != "acme" || got[1] != DefaultTenant {
		t.Errorf("tenants are %v", got)
	}
	before, err := k.Accounts("acme")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(k.Remove("acme"), k.Remove("nobody")); !errors.Is(err, ErrNoTenant) {
		t.Errorf("removed: %v", err)
	}
	if k.Remove(DefaultTenant) == nil {
		t.Error("the default tenant was removed")
	}
	second, err := k.Add(Tenant{Name: "acme"})
	if err != nil || first.ID == second.ID {
		t.Errorf("a new tenant has the id of an old one: %v", err)
	}
	after, err := k.Accounts("acme")
	if err != nil || before[access.Inside] == after[access.Inside] {
		t.Errorf("a new tenant has the account of an old one: %v", err)
	}
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, _ error) error {
		if info, err := d.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others may use %s: %v", path, err)
		}
		return nil
	})
}

func TestStorageCannotBeLowered(t *testing.T) {
	k := openIn(t, t.TempDir())
	if _, err := k.Add(Tenant{Name: "a", Limits: tenancy.Limits{Storage: 1 << 30}}); err != nil {
		t.Fatal(err)
	}
	for storage, ok := range map[int64]bool{1 << 29: false, 1 << 30: true} {
		if err := k.Change(Tenant{Name: "a", Limits: tenancy.Limits{Storage: storage, Flows: 3}}); (err == nil) != ok {
			t.Errorf("%d: %v", storage, err)
		}
	}
	if k.Change(Tenant{Name: DefaultTenant, Limits: tenancy.Limits{Storage: 1 << 40}}) == nil {
		t.Error("the storage of a tenant without a limit was limited")
	}
	if err := k.Change(Tenant{Name: "a", Limits: tenancy.Limits{}}); err != nil {
		t.Error(err)
	}
}

// NATS counts each replica of what a tenant stores.
func TestStorageCountsReplicas(t *testing.T) {
	dir := t.TempDir()
	k := openIn(t, dir)
	if _, err := k.Add(Tenant{Name: "a", Limits: tenancy.Limits{Storage: 1 << 30, Memory: 1 << 20}}); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 6} {
		if k.SetReplicas(n) == nil {
			t.Errorf("%d replicas", n)
		}
	}
	if err := k.SetReplicas(3); err != nil {
		t.Fatal(err)
	}
	again := openIn(t, dir)
	a, err := again.Tenant("a")
	if err != nil {
		t.Fatal(err)
	}
	if got := again.limits(a.Limits)[access.Inside]; got.Disk != 3<<30 || got.Memory != 1<<20 {
		t.Errorf("%d bytes on disk, %d in memory", got.Disk, got.Memory)
	}
	if again.SetReplicas(1) == nil {
		t.Error("the storage was lowered")
	}
}

// Limits of Dagyo change the record only: a change of the accounts in use would drop answers under way.
func TestWhatALimitChanges(t *testing.T) {
	k := openIn(t, t.TempDir())
	if _, err := k.Add(Tenant{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		limits  tenancy.Limits
		changed int
	}{
		"of Dagyo":    {tenancy.Limits{Flows: 1, Executors: 2, Weight: 3, Submissions: 4}, 0},
		"memory":      {tenancy.Limits{Memory: 1 << 20}, 1},
		"connections": {tenancy.Limits{Connections: 10}, 1},
		"payload":     {tenancy.Limits{Payload: 1 << 20}, 1},
	} {
		before := trust(t, k)
		if err := k.Change(Tenant{Name: "a", Limits: c.limits}); err != nil {
			t.Fatal(err)
		}
		after := trust(t, k)
		n := 0
		for key := range before.Accounts {
			if !same(before.Accounts[key], after.Accounts[key]) {
				n++
			}
		}
		if n != c.changed || same(before.records[0].claims, after.records[0].claims) {
			t.Errorf("%s: %d accounts have changed, want %d", name, n, c.changed)
		}
		if err := k.Change(Tenant{Name: "a", Limits: tenancy.Limits{}}); err != nil {
			t.Fatal(err)
		}
	}
}

// trust is that of tenant a. Its claims are valid.
func trust(t *testing.T, k *Keyring) Trust {
	t.Helper()
	out, err := k.trust([]string{"a"})
	if err != nil || len(out.Accounts) != 3 || len(out.records) != 1 {
		t.Fatalf("%d accounts and %d records: %v", len(out.Accounts), len(out.records), err)
	}
	tokens := []string{out.records[0].claims}
	for _, token := range out.Accounts {
		tokens = append(tokens, token)
	}
	for _, token := range tokens {
		claims, err := jwt.DecodeAccountClaims(token)
		if err != nil {
			t.Fatal(err)
		}
		found := jwt.CreateValidationResults()
		if claims.Validate(found); found.IsBlocking(true) {
			t.Errorf("%s: %v", claims.Name, found.Errors())
		}
	}
	return out
}
