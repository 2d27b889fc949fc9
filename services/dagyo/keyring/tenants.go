package keyring

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/moby/sys/atomicwriter"
	"github.com/nats-io/nuid"

	"github.com/dagyo/dagyo/pkg/access"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/tenancy"
)

// removedDir holds the tenants that were removed and of which NATS may still have something.
const removedDir = "tenants/removed"

// Tenants returns the tenants, sorted by name.
func (k *Keyring) Tenants() ([]Tenant, error) { return k.read("tenants") }

// read returns the tenants in a folder.
func (k *Keyring) read(folder string) ([]Tenant, error) {
	files, err := filepath.Glob(filepath.Join(k.dir, folder, "*.json"))
	if err != nil {
		return nil, err
	}
	out := make([]Tenant, 0, len(files))
	for _, file := range files {
		var t Tenant
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed in the meantime
		}
		if err == nil {
			err = json.Unmarshal(text, &t)
		}
		if err != nil {
			return nil, fmt.Errorf("read tenant %s: %w", file, err)
		}
		out = append(out, t)
	}
	return out, nil
}

// Tenant returns a tenant.
func (k *Keyring) Tenant(name string) (t Tenant, err error) {
	if err := validName(name); err != nil {
		return t, err
	}
	text, err := os.ReadFile(k.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return t, fmt.Errorf("tenant %q: %w", name, ErrNoTenant)
	}
	if err == nil {
		err = json.Unmarshal(text, &t)
	}
	return t, err
}

func (k *Keyring) file(name string) string { return filepath.Join(k.dir, "tenants", name+".json") }

func validName(name string) error {
	if !document.ValidName(name) {
		return fmt.Errorf("%q is not the name of a tenant: it must match %s", name, document.NamePattern)
	}
	return nil
}

// Add adds a tenant.
func (k *Keyring) Add(name string, limits tenancy.Limits) (t Tenant, err error) {
	if err := validName(name); err != nil {
		return t, err
	}
	if _, err := os.Stat(k.file(name)); err == nil {
		return t, fmt.Errorf("tenant %q already exists", name)
	}
	t = Tenant{
		Name: name, ID: nuid.Next(), Generations: make(map[access.Role]int), Limits: limits,
		Created: time.Now().UTC().Truncate(time.Second),
	}
	for _, r := range access.Roles() {
		t.Generations[r] = 1
	}
	return t, k.Store(t)
}

// Limit replaces the limits of a tenant. That of its storage cannot be lowered: NATS has set it aside for the streams, and
// accepts neither a lower limit for these streams nor smaller streams above the limit.
func (k *Keyring) Limit(name string, limits tenancy.Limits) error {
	t, err := k.Tenant(name)
	if err != nil {
		return err
	}
	if now := t.Limits.Storage; limits.Storage != now && limits.Storage != 0 && (now == 0 || limits.Storage < now) {
		was := "no limit"
		if now > 0 {
			was = fmt.Sprintf("%d bytes", now)
		}
		return fmt.Errorf("the storage of tenant %s cannot be lowered: NATS has set it aside for the streams that exist (it is %s now)", name, was)
	}
	t.Limits = limits
	return k.Store(t)
}

// Store replaces what the keyring knows of a tenant, to undo a change.
func (k *Keyring) Store(t Tenant) error {
	text, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	return atomicwriter.WriteFile(k.file(t.Name), append(text, '\n'), 0o600)
}

// Remove removes a tenant. Publish lets services stop, and Clear deletes what NATS has of it.
func (k *Keyring) Remove(name string) error {
	t, err := k.Tenant(name)
	if err != nil {
		return err
	}
	if name == DefaultTenant {
		return fmt.Errorf("the default tenant %q cannot be removed", name)
	}
	return os.Rename(k.file(name), k.removed(t))
}

func (k *Keyring) removed(t Tenant) string { return filepath.Join(k.dir, removedDir, t.ID+".json") }
