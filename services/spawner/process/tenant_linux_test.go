package process_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dagyo/dagyo/services/spawner/process"
)

func ids(t *testing.T, b *process.Backend) (out []string) {
	t.Helper()
	all, err := b.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range all {
		out = append(out, x.Executor)
	}
	return out
}

// Executors of a tenant are another one's neither to see nor to end, and do not have their users.
func TestTenantsHaveExecutorsOfTheirOwn(t *testing.T) {
	s := besiege(t, func(c *process.Config) {
		if err := c.UIDs.UnmarshalText([]byte("300000-300002")); err != nil {
			t.Fatal(err)
		}
	})
	s.enclosed(t)
	cfg := config(s.dir)
	cfg.Tenant, cfg.Isolation, cfg.Hidden = "t2", &s.isolation, []string{filepath.Dir(filepath.Dir(s.store))}
	if err := cfg.UIDs.UnmarshalText([]byte("300000-300002")); err != nil {
		t.Fatal(err)
	}
	theirs := open(t, cfg)
	victim := s.start(t, s.spec("victim"))
	if err := theirs.Start(t.Context(), s.spec("other")); err != nil {
		t.Fatal(err)
	}
	s.control.Program(t, "other")
	if got := ids(t, s.Backend); len(got) != 1 || got[0] != "victim" {
		t.Errorf("executors of the first tenant: %v", got)
	}
	if got := ids(t, theirs); len(got) != 1 || got[0] != "other" {
		t.Errorf("executors of the second tenant: %v", got)
	}

	home := victim.Ask(t, "env TMPDIR")
	write(t, filepath.Join(home, "paper"), "secret of another tenant")
	if err := theirs.Start(t.Context(), s.attack("spy", "read", s.dir, home, s.store)); err != nil {
		t.Fatal(err)
	}
	if e := nextExit(t, theirs); strings.Contains(e.Detail, "victim") || strings.Contains(e.Detail, "secret") {
		t.Errorf("an executor of another tenant has read %s", e.Detail)
	}
	if s.isolation.Foreign { // three users, and three executors that are not forgotten
		for _, b := range []*process.Backend{s.Backend, theirs} {
			if err := b.Start(t.Context(), s.spec("fourth")); err == nil || !strings.Contains(err.Error(), "--executor-uids") {
				t.Errorf("a fourth: %v", err)
			}
		}
	}
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}

	if all, err := process.Tenants(s.dir); err != nil || len(all) != 1 || all[0] != "t2" {
		t.Errorf("tenants are %v, %v", all, err)
	}
	if err := process.Clear(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "tenants", "t2")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("something is left of the second tenant: %v", err)
	}
	if got := ids(t, s.Backend); len(got) != 1 {
		t.Errorf("executors of the first tenant: %v", got)
	}
	victim.Tell(t, "exit 0")
	nextExit(t, s.Backend)
}
