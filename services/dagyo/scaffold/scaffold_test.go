package scaffold

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

// Projects are run by the script init.txt; here is what it cannot see.

func TestNothingIsOverwritten(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "Dockerfile")
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), link); err != nil {
		t.Fatal(err)
	}
	_, err := Write(Project{Kind: Command, Dir: dir, Name: "a"})
	if !errors.Is(err, ErrExists) || !strings.Contains(err.Error(), "has Dockerfile: nothing was written") {
		t.Errorf("got %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("it wrote %v, %v", entries, err)
	}
}

func TestModuleRequiresTheCheckout(t *testing.T) {
	checkout, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	found, err := FindSDK(t.TempDir(), filepath.Join(checkout, "docs"))
	if err != nil || found != checkout {
		t.Fatalf("got %q, %v", found, err)
	}
	mod, sum, err := Project{Kind: Go, Dir: "p", Name: "p", SDK: checkout}.module()
	if err != nil || len(sum) == 0 {
		t.Fatal(err)
	}
	f, err := modfile.Parse("go.mod", mod, nil)
	if err != nil || f.Module.Mod.Path != "example.com/p" {
		t.Fatalf("got %s, %v", mod, err)
	}
	for _, r := range f.Replace {
		if info, err := os.Stat(filepath.Join(r.New.Path, "go.mod")); err != nil || info.IsDir() {
			t.Errorf("%s: %v", r.Old.Path, err)
		}
	}
	direct := slices.DeleteFunc(f.Require, func(r *modfile.Require) bool { return r.Indirect })
	if len(direct) != 1 || direct[0].Mod.Path != sdk || len(f.Replace) != 3 {
		t.Errorf("got %s", mod)
	}
}

func TestNoSDK(t *testing.T) {
	dir := t.TempDir()
	if _, err := FindSDK(dir); !errors.Is(err, ErrNoSDK) {
		t.Errorf("got %v", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "executor"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "executor", "go.mod"), []byte("module example.com/other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := CheckSDK(dir); err == nil || !strings.Contains(err.Error(), "is not a checkout of Dagyo: the module in executor is not") {
		t.Errorf("got %v", err)
	}
}
