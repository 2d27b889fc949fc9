package keyring

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/moby/sys/atomicwriter"
	"github.com/nats-io/nuid"

	"github.com/dagyo/dagyo/pkg/document"
)

// removedDir holds the tenants that were removed and of which NATS may still have something.
const removedDir = "tenants/removed"

// Tenants returns the tenants, sorted by name.
func (k *Keyring) Tenants() ([]Tenant, error) {
	return readAll[Tenant](filepath.Join(k.dir, "tenants"))
}

// left returns the tenants that were removed and of which NATS may still have something.
func (k *Keyring) left() ([]Tenant, error) { return readAll[Tenant](filepath.Join(k.dir, removedDir)) }

// readAll reads the JSON files in a folder, sorted by name. If there is no folder, there are none.
func readAll[T any](dir string) (out []T, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".json" {
			continue
		}
		file := filepath.Join(dir, e.Name())
		text, err := os.ReadFile(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed in the meantime
		}
		var x T
		if err == nil {
			err = json.Unmarshal(text, &x)
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		out = append(out, x)
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

// Add adds a tenant. Its id and time are set here.
func (k *Keyring) Add(t Tenant) (Tenant, error) {
	if err := validName(t.Name); err != nil {
		return t, err
	}
	if _, err := os.Stat(k.file(t.Name)); err == nil {
		return t, fmt.Errorf("tenant %q already exists", t.Name)
	}
	t.ID, t.Created = nuid.Next(), now()
	return t, k.Store(t)
}

// Change replaces the limits of a tenant, and the progdefs that it may use. The limit of its storage cannot be lowered:
// NATS has set it aside for the streams, and accepts neither a lower limit for these streams nor smaller streams above the
// limit.
func (k *Keyring) Change(t Tenant) error {
	before, err := k.Tenant(t.Name)
	if err != nil {
		return err
	}
	if now, next := before.Limits.Storage, t.Limits.Storage; next != now && next != 0 && (now == 0 || next < now) {
		was := "no limit"
		if now > 0 {
			was = fmt.Sprintf("%d bytes", now)
		}
		return fmt.Errorf("the storage of tenant %s cannot be lowered: NATS has set it aside for the streams that exist (it is %s now)", t.Name, was)
	}
	before.Limits, before.Progdefs = t.Limits, t.Progdefs
	return k.Store(before)
}

// Leaving returns a tenant that was removed and of which NATS may still have something.
func (k *Keyring) Leaving(name string) (t Tenant, err error) {
	removed, err := k.left()
	if err != nil {
		return t, err
	}
	for _, t := range removed {
		if t.Name == name {
			return t, nil
		}
	}
	return t, fmt.Errorf("tenant %q: %w", name, ErrNoTenant)
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
