package scaffold

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/mod/modfile"
)

const (
	module = "github.com/dagyo/dagyo"
	sdk    = module + "/executor"
	// unpublished is the version of a module that is in a folder.
	unpublished = "v0.0.0-00010101000000-000000000000"
)

// ErrNoSDK is returned if no checkout of Dagyo was found.
var ErrNoSDK = errors.New("the SDK is not published yet: clone the repository of Dagyo, and name its folder with --sdk")

// FindSDK returns the folder of the checkout of Dagyo that contains one of the paths.
func FindSDK(paths ...string) (string, error) {
	for _, path := range paths {
		for dir := path; ; dir = filepath.Dir(dir) {
			if CheckSDK(dir) == nil {
				return dir, nil
			}
			if filepath.Dir(dir) == dir {
				break
			}
		}
	}
	return "", ErrNoSDK
}

// CheckSDK reports an error if a folder is not a checkout of Dagyo.
func CheckSDK(dir string) error {
	_, err := readModule(dir)
	return err
}

// readModule reads the go.mod of the Go SDK.
func readModule(dir string) (*modfile.File, error) {
	path := filepath.Join(dir, "executor", "go.mod")
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is not a checkout of Dagyo: it has no executor/go.mod", dir)
	}
	if err != nil {
		return nil, err
	}
	f, err := modfile.Parse(path, text, nil)
	if err == nil && (f.Module == nil || f.Module.Mod.Path != sdk) {
		err = fmt.Errorf("%s is not a checkout of Dagyo: the module in executor is not %s", dir, sdk)
	}
	return f, err
}

// module returns the go.mod and go.sum of a project. It takes the SDK, and what the SDK requires in other folders, from
// the checkout; `go mod tidy` later removes what only tests of the SDK need.
func (p Project) module() (mod, sum []byte, err error) {
	checkout := p.SDK
	if !filepath.IsAbs(checkout) {
		checkout = filepath.Join(p.Dir, checkout)
	}
	of, err := readModule(checkout)
	if err != nil {
		return nil, nil, err
	}
	f := &modfile.File{}
	errs := []error{f.AddModuleStmt("example.com/" + p.Name), f.AddGoStmt(of.Go.Version), f.AddRequire(sdk, unpublished)}
	for _, r := range of.Require {
		f.AddNewRequire(r.Mod.Path, r.Mod.Version, true)
	}
	errs = append(errs, f.AddReplace(sdk, "", p.local("executor"), ""))
	for _, r := range of.Replace {
		errs = append(errs, f.AddReplace(r.Old.Path, "", p.local("executor", r.New.Path), ""))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, nil, err
	}
	f.SetRequireSeparateIndirect(f.Require)
	f.Cleanup()
	if mod, err = f.Format(); err != nil {
		return nil, nil, err
	}
	sum, err = os.ReadFile(filepath.Join(checkout, "executor", "go.sum"))
	return mod, sum, err
}

// local returns a path in the checkout as go.mod has it.
func (p Project) local(in ...string) string {
	return filepath.ToSlash(filepath.Join(append([]string{p.SDK}, in...)...))
}
