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

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// dagyo as a progdef's command means this very binary, wherever it is installed.
const dagyo = "dagyo"

// An order is what a supervisor has to do. It holds the environment, which may be secret, and so it
// never has a name on disk: it is handed over as an open file.
//
// It travels as gob, not as JSON, because an environment need not be UTF-8.
type order struct {
	Instance backend.Instance
	Path     string
	Args     []string // the first is the name of the program
	Env      []string
	Grace    document.Duration
	// KillDelay is the time from the end of the grace period to SIGKILL.
	KillDelay time.Duration
}

// resolve turns a spec into an order. What cannot be resolved is a *backend.StartError.
func (c Config) resolve(spec backend.Spec) (order, error) {
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
	o.Env = env.List()
	return o, nil
}

func instanceOf(s backend.Spec) backend.Instance {
	return backend.Instance{Executor: s.Executor, Progdef: s.Progdef, Revision: s.Revision}
}

// open puts the order into a file that has already lost its name, ready to be read.
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

// lookPath finds a program in a search path that is not this process's own. Relative directories of
// the path are passed over, as exec.LookPath does.
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
		Message: "the process backend runs a progdef's `command`, and this one has none",
		Hint:    "add a command that is installed on the spawner's machine",
	}
	if spec.Document.Image != "" || spec.Document.Build != nil {
		p.Message += ", only an image; the Docker and Kubernetes backends run images"
		p.Hint = "run the spawner with the Docker or Kubernetes backend, or add a command"
	}
	return refused(p)
}

// cannotRun is the problem of a command that was not found.
func cannotRun(name string, err error) problem.Problem {
	p := problem.Problem{Pointer: "/command/0", Hint: "name a program"}
	why := err.Error()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		why = "it was not found"
		p.Hint = "install it there, add its folder to PATH, or give its absolute path"
	case errors.Is(err, fs.ErrPermission):
		why = "it is not executable"
		p.Hint = "make it executable for the user of the spawner (chmod +x)"
	}
	p.Message = fmt.Sprintf("%q cannot be run on the spawner's machine: %s", name, why)
	return p
}

// cannotStart is the problem of a command that was found but that the system refused.
func cannotStart(name string, errno syscall.Errno) problem.Problem {
	p := problem.Problem{
		Pointer: "/command/0",
		Message: fmt.Sprintf("the spawner's machine refuses to start %q: %s", name, errno.Error()),
		Hint:    "look at the length and the content of the command and the environment",
	}
	switch errno {
	case syscall.ENOENT:
		p.Hint = "the interpreter that its first line names, or its loader, is missing"
	case syscall.ENOEXEC:
		p.Hint = "a script needs a first line that names its interpreter, such as #!/bin/sh; " +
			"a binary must be built for this machine"
	}
	return p
}

// permanent reports whether what the system refused to start never will start.
func permanent(errno syscall.Errno) bool {
	switch errno {
	case syscall.ENOENT, syscall.ENOTDIR, syscall.EACCES, syscall.EPERM, syscall.ENOEXEC,
		syscall.E2BIG, syscall.EINVAL, syscall.ELOOP, syscall.EISDIR:
		return true
	}
	return false
}
