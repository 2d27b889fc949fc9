package process

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// homes is the folder of executors in the place of a tenant, tenants that of the places of all tenants but the first.
const (
	homes   = "executors"
	tenants = "tenants"
)

// tenantID is what a tenant's id must match: it becomes part of a path.
var tenantID = regexp.MustCompile("^[A-Za-z0-9]+$")

// place returns the folder of a tenant.
func place(dir, tenant string) string {
	if tenant == "" {
		return dir
	}
	return filepath.Join(dir, tenants, tenant)
}

// Tenants returns the ids of the tenants that have executors of their own in a state directory, or had them.
func Tenants(dir string) (ids []string, err error) {
	entries, err := os.ReadDir(filepath.Join(dir, tenants))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, entry := range entries {
		if tenantID.MatchString(entry.Name()) {
			ids = append(ids, entry.Name())
		}
	}
	return ids, err
}

// Clear ends all executors of a tenant at once, and removes what is left of them. No other Backend may be open for the
// tenant.
func Clear(ctx context.Context, c Config) error {
	if c.Tenant == "" {
		return errors.New("the executors of the first tenant cannot be removed")
	}
	if _, err := os.Stat(place(c.Dir, c.Tenant)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	b, err := New(c)
	if err != nil {
		return err
	}
	err = b.clear(ctx)
	if err = errors.Join(err, b.Close()); err != nil {
		return fmt.Errorf("end the executors of tenant %s: %w", c.Tenant, err)
	}
	return os.RemoveAll(place(b.cfg.Dir, c.Tenant))
}

// clearPause is the time between two looks at what still runs, unless an exit is heard before.
const clearPause = 50 * time.Millisecond

func (b *Backend) clear(ctx context.Context) error {
	for {
		entries, err := os.ReadDir(b.executors)
		if err != nil || len(entries) == 0 {
			return err
		}
		for _, entry := range entries {
			switch err := b.Forget(ctx, entry.Name()); {
			case errors.Is(err, errRuns):
				if err := b.GiveUp(ctx, entry.Name()); err != nil {
					return err
				}
			case err != nil:
				return err
			}
		}
		select {
		case <-b.Exits():
		case <-time.After(clearPause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
