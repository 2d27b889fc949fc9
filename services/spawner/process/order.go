package process

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// dagyo is a command that refers to this binary, wherever it is installed.
const dagyo = "dagyo"

// An order is the task of a supervisor. It contains the environment, which may be secret, so it never has
// a name on disk: it is passed as an open file.
//
// It is encoded as gob, not as JSON, because an environment need not be UTF-8.
type order struct {
	Instance backend.Instance
	Path     string
	Args     []string // the first is the name of the program
	Env      []string
	Grace    document.Duration
	// KillDelay is the time from the end of the grace period to SIGKILL.
	KillDelay time.Duration
}

// resolve turns a spec into an order. If that is impossible, the error is a *backend.StartError.
func (c Config) resolve(spec backend.Spec, h home) (order, error) {
	env, err := c.environ(spec)
	if err != nil {
		return order{}, err
	}
	o := order{
		Instance:  instanceOf(spec),
		Grace:     spec.Document.Drain.GracePeriod,
		KillDelay: c.KillDelay,
	}
	command := spec.Document.Command
	switch {
	case len(command) == 0:
		return order{}, nothingToRun(spec)
	case command[0] == dagyo:
		o.Path = c.Self
		o.Args = append(append([]string{c.Self}, c.SelfArgs...), command[1:]...)
		env.Add(c.SelfEnv)
	default:
		if o.Path, err = lookPath(command[0], env["PATH"]); err != nil {
			return order{}, refused(cannotRun(command[0], err))
		}
		o.Args = command
	}
	if spec.Credentials != nil {
		env[contract.EnvCreds] = h.credentials()
	}
	o.Env = env.List()
	return o, nil
}

func instanceOf(s backend.Spec) backend.Instance {
	return backend.Instance{Executor: s.Executor, Progdef: s.Progdef, Revision: s.Revision}
}

// open writes the order to a file that is already unlinked, ready to be read.
func (o order) open(dir string) (*os.File, error) {
	f, err := os.CreateTemp(dir, ".order-*")
	if err != nil {
		return nil, err
	}
	err = os.Remove(f.Name())
	if err == nil {
		err = gob.NewEncoder(f).Encode(o)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// lookPath finds a program in a search path other than this process's own. It ignores relative
// directories in the path, like exec.LookPath.
func lookPath(name, path string) (string, error) {
	if strings.ContainsRune(name, filepath.Separator) {
		found, err := exec.LookPath(name)
		if err != nil {
			return "", cause(err)
		}
		return filepath.Abs(found)
	}
	err := fs.ErrNotExist
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		found, dirErr := exec.LookPath(filepath.Join(dir, name))
		if dirErr == nil {
			return found, nil
		}
		if errors.Is(dirErr, fs.ErrPermission) {
			err = fs.ErrPermission
		}
	}
	return "", err
}

// cause unwraps exec.Error, which would repeat the name.
func cause(err error) error {
	var e *exec.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

func refused(p problem.Problem) error {
	p.Code = problem.StartRefused
	return &backend.StartError{Problem: p}
}

func nothingToRun(spec backend.Spec) error {
	p := problem.Problem{
		Pointer: "/command",
		Message: "the progdef has no `command`, which the process backend needs",
		Hint:    "add a command that is installed on the spawner's machine",
	}
	if spec.Document.Image != "" || spec.Document.Build != nil {
		p.Message += "; the Docker and Kubernetes backends run images"
		p.Hint = "run the spawner with the Docker or Kubernetes backend, or add a command"
	}
	return refused(p)
}

// cannotRun is the problem for a command that was not found.
func cannotRun(name string, err error) problem.Problem {
	p := problem.Problem{Pointer: "/command/0", Hint: "set the name of a program"}
	why := err.Error()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		why = "it was not found"
		p.Hint = "install it there, add its folder to PATH, or use its absolute path"
	case errors.Is(err, fs.ErrPermission):
		why = "it is not executable"
		p.Hint = "make it executable for the user of the spawner (chmod +x)"
	}
	p.Message = fmt.Sprintf("cannot run %q on the spawner's machine: %s", name, why)
	return p
}

// cannotStart is the problem for a command that was found but that the system refused to start.
func cannotStart(name string, errno syscall.Errno) problem.Problem {
	p := problem.Problem{
		Pointer: "/command/0",
		Message: fmt.Sprintf("the spawner's machine cannot start %q: %s", name, errno.Error()),
		Hint:    "check the length and the content of the command and the environment",
	}
	switch errno {
	case syscall.ENOENT:
		p.Hint = "the interpreter in its first line, or its loader, is missing"
	case syscall.ENOEXEC:
		p.Hint = "a script needs a first line that names its interpreter, such as #!/bin/sh; " +
			"a binary must be built for this machine"
	}
	return p
}

// permanent reports whether the system will never start the program after this error.
func permanent(errno syscall.Errno) bool {
	switch errno {
	case syscall.ENOENT, syscall.ENOTDIR, syscall.EACCES, syscall.EPERM, syscall.ENOEXEC,
		syscall.E2BIG, syscall.EINVAL, syscall.ELOOP, syscall.EISDIR:
		return true
	}
	return false
}
