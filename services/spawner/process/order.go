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
	"github.com/dagyo/dagyo/services/spawner/envset"
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
	Dir      string // the working directory
	// Enclosure isolates and limits the program.
	Enclosure enclosure
	// Leashed means that the supervisor has Config.Leash.
	Leashed bool
	Grace   document.Duration
	// KillDelay is the time from the end of the grace period to SIGKILL.
	KillDelay time.Duration
}

// A plan is an order for which a directory is still to be made.
type plan struct {
	order
	// credentials are the contents of the executor's credentials, by file name.
	credentials map[string][]byte
}

// resolve turns a spec into a plan. If that is impossible, the error is a *backend.StartError.
func (c Config) resolve(spec backend.Spec, h home, i Isolation) (plan, error) {
	env, files, err := c.environ(spec, h.own(), i)
	if err != nil {
		return plan{}, err
	}
	limits, err := c.Limits.bound(spec)
	if err != nil {
		return plan{}, err
	}
	p := plan{order: order{
		Instance:  instanceOf(spec),
		Enclosure: enclosure{Enclosed: i.Enclosed, Bounds: limits},
		Leashed:   c.Leash != nil,
		Grace:     spec.Document.Drain.GracePeriod,
		KillDelay: c.KillDelay,
	}, credentials: files}
	if i.Limited {
		p.Enclosure.Cgroup = c.cgroup(spec.Executor)
	}
	command := spec.Document.Command
	switch {
	case len(command) == 0:
		return plan{}, nothingToRun(spec)
	case command[0] == dagyo:
		p.Path = c.Self
		p.Args = append(append([]string{c.Self}, c.SelfArgs...), command[1:]...)
		env.Add(c.SelfEnv)
	default:
		if p.Path, err = lookPath(command[0], env["PATH"]); err != nil {
			return plan{}, refused(cannotRun(command[0], err))
		}
		p.Args = command
	}
	p.Env = env.List()
	if p.Dir, err = os.Getwd(); err != nil { // it was removed
		p.Dir = h.own()
	}
	if !i.Enclosed {
		return p, nil
	}
	return p, c.enclose(&p.order, h, env, i)
}

// enclose decides what an executor sees: everything but private paths. In directories that are closed to its user, it
// sees its program and what its command and its environment mention. It starts in the spawner's working directory, if
// it sees that.
func (c Config) enclose(o *order, h home, env envset.Vars, i Isolation) error {
	v := newViewer(append([]string{c.Dir, c.EnvDir}, c.Hidden...), i.Foreign, c.UIDs)
	file, err := v.reach(o.Path, false)
	if err == nil && i.Foreign {
		err = runnable(file)
	}
	if err != nil {
		return refused(notReachable(o.Path, err))
	}
	if _, err := v.reach(o.Dir, false); err != nil {
		o.Dir = h.own()
	}
	for _, arg := range o.Args[1:] {
		v.mentioned(arg)
		if !filepath.IsAbs(arg) {
			_, _ = v.reach(filepath.Join(o.Dir, arg), false)
		}
	}
	for name, value := range env {
		if name != "PATH" {
			v.mentioned(value)
			continue
		}
		for _, dir := range filepath.SplitList(value) {
			if filepath.IsAbs(dir) {
				_, _ = v.reach(dir, true)
			}
		}
	}
	v.own(h.own())
	o.Enclosure.View = v.view()
	return nil
}

// errMode means that only the owner of a program may execute it.
var errMode = errors.New("its mode lets only its owner or group execute it")

// runnable checks that a user who is not the owner may execute a file.
func runnable(file string) error {
	info, err := os.Stat(file)
	if err == nil && info.Mode()&0o001 == 0 {
		err = errMode
	}
	return err
}

// notReachable is the problem for a program that the executor's user cannot run.
func notReachable(path string, err error) problem.Problem {
	p := problem.Problem{
		Pointer: "/command/0",
		Message: fmt.Sprintf("executors cannot run %s on the spawner's machine: %s", path, err),
		Hint:    "move it out of Dagyo's data, the folder of --env-dir and the paths of --executor-hide",
	}
	if errors.Is(err, errMode) {
		p.Hint = "executors run as users of their own (--executor-uids): make it executable for all (chmod o+rx)"
	}
	return p
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
