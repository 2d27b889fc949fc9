//go:build linux

package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// cgroup names the cgroup in each hierarchy below which the cluster's pods are.
func cgroup(state string) string {
	sum := sha256.Sum256([]byte(state))
	return "dagyo-kubernetes-" + hex.EncodeToString(sum[:4])
}

func makeCgroup(name string) error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	for _, root := range roots {
		if err := os.MkdirAll(filepath.Join(root, name), 0o755); err != nil {
			return err
		}
	}
	return nil
}

func removeCgroup(name string) error {
	roots, err := hierarchies()
	if err != nil {
		return err
	}
	for _, root := range roots {
		if err := removeTree(filepath.Join(root, name)); err != nil {
			return err
		}
	}
	return nil
}

// removeTree removes a cgroup and those below it, deepest first. The kernel may keep a cgroup for a moment after its
// processes have exited.
func removeTree(root string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for {
		var dirs []string
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return err
		})
		for _, dir := range slices.Backward(dirs) {
			err = errors.Join(err, os.Remove(dir))
		}
		if _, gone := os.Lstat(root); errors.Is(gone, fs.ErrNotExist) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove cgroup: %w", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// hierarchies are the roots of all cgroup file systems, of either version.
func hierarchies() ([]string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	var roots []string
	for line := range strings.Lines(string(mounts)) {
		field := strings.Fields(line)
		if kind := field[2]; kind == "cgroup" || kind == "cgroup2" {
			roots = append(roots, field[1])
		}
	}
	return roots, nil
}
