package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/envset"
)

// An Isolation says what the machine lets the backend do to keep executors apart.
type Isolation struct {
	// Enclosed executors have their own view of files and processes, and nothing of them survives their supervisor.
	Enclosed bool
	// Foreign executors have a user of their own each.
	Foreign bool
	// Limited executors have a cgroup each, in which the kernel keeps their limits. Otherwise, their supervisors look
	// now and then.
	Limited bool
	// Missing is a sentence that tells what is missing and how to get it; "" if nothing is.
	Missing string
}

// probeTimeout bounds a trial.
const probeTimeout = 10 * time.Second

// Probe finds out how executors are isolated. It starts a process that tries it.
func Probe(ctx context.Context, c Config) (Isolation, error) {
	if err := c.Validate(); err != nil {
		return Isolation{}, err
	}
	c, err := c.withDefaults()
	if err != nil {
		return Isolation{}, err
	}
	return c.probe(ctx), nil
}

func (c Config) probe(ctx context.Context) Isolation {
	if err := c.tryEnclosed(ctx); err != nil {
		return Isolation{Missing: fmt.Sprintf("executors are not isolated: they run as this user, see its files and Dagyo's data, "+
			"and their limits are checked only now and then (%v); %s, or use the Docker or Kubernetes backend", err, howToEnclose)}
	}
	switch {
	case os.Geteuid() != 0:
		return Isolation{Enclosed: true, Missing: "executors do not see Dagyo's data and other processes, but run as this user " +
			"and may use its other files; run dagyo as root to give each a user of its own, or hide more with --executor-hide"}
	case c.UIDs.none:
		return Isolation{Enclosed: true, Missing: "executors run as root, without its capabilities, and may use its files; " +
			"do not set --executor-uids none to give each a user of its own"}
	}
	if err := c.tryUIDs(); err != nil {
		return Isolation{Enclosed: true, Missing: fmt.Sprintf("executors run as root, without its capabilities, and may use its files: "+
			"the range of their user ids cannot be used (%v); set another with --executor-uids", err)}
	}
	if err := prepareCgroups(cgroups); err != nil {
		return Isolation{Enclosed: true, Foreign: true, Missing: fmt.Sprintf("the memory and the processes of executors are checked "+
			"only now and then, and their processors are not limited: cgroup v2 cannot be used (%v); "+
			"run it on a machine with cgroup v2, outside of a container", err)}
	}
	return Isolation{Enclosed: true, Foreign: true, Limited: true}
}

// cgroups is the directory of the cgroups of all executors.
const cgroups = "/sys/fs/cgroup/dagyo"

// A cgroup is a directory of cgroup v2, or "" for none. The kernel keeps the limits that are written there.
type cgroup string

// cgroup returns the cgroup of an executor: the state directory tells it from others of the machine.
func (c Config) cgroup(executor string) cgroup {
	h := fnv.New64a()
	_, _ = h.Write([]byte(c.Dir))
	return cgroup(fmt.Sprintf("%s/%x-%s", cgroups, h.Sum64(), executor))
}

// tryEnclosed starts a supervisor that encloses nothing.
func (c Config) tryEnclosed(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Self, append(append([]string{}, c.SelfArgs...), "supervise", trial)...)
	env := envset.Vars{}
	env.Add(c.SelfEnv)
	cmd.Env, cmd.SysProcAttr = env.List(), supervisorAttr(true)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	if said := strings.TrimSpace(stderr.String()); err != nil && said != "" {
		return errors.New(said)
	}
	return err
}

// tryUIDs gives a directory to the first and the last user: in a container, a user may not exist.
func (c Config) tryUIDs() error {
	dir, err := os.MkdirTemp(filepath.Join(place(c.Dir, c.Tenant), "scrap"), "in-*")
	if errors.Is(err, os.ErrNotExist) {
		dir, err = os.MkdirTemp("", "dagyo-*")
	}
	if err != nil {
		return err
	}
	for _, id := range []uint32{c.UIDs.first, c.UIDs.last} {
		err = errors.Join(err, os.Chown(dir, int(id), int(id)))
	}
	return errors.Join(err, os.Remove(dir))
}

// trial is the directory of a supervisor that only tries whether it can enclose a program.
const trial = "-"

// An enclosure is what a supervisor does to its program before it starts.
type enclosure struct {
	// Enclosed is Isolation.Enclosed. If it is false, only Bounds is used.
	Enclosed bool
	// UID is the program's user and group; 0 for the supervisor's own.
	UID  uint32
	View view
	// Bounds limit all processes together.
	Bounds bounds
	// Cgroup keeps the bounds, if it is not "".
	Cgroup cgroup
}

// explain returns the reason of an exit, which may be a limit that the kernel has kept.
func (e enclosure) explain(exit backend.Exit) string {
	killed, refused := e.Cgroup.events()
	switch {
	case killed && exit.Signal == "SIGKILL":
		return "it was killed: " + e.Bounds.noMemory()
	case refused && (exit.Code != 0 || exit.Signal != ""):
		return exit.Reason + "; " + e.Bounds.noProcesses()
	}
	return exit.Reason
}

// An enclosureError means that a program was not started because it could not be enclosed.
type enclosureError struct{ err error }

func (e *enclosureError) Error() string { return "isolating the executor: " + e.err.Error() }
func (e *enclosureError) Unwrap() error { return e.err }

// try implements the trial of [Probe].
func try() int {
	failed := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		proc, err := enclosure{}.enter()
		if err == nil {
			err = proc.Close()
		}
		failed <- err
	}()
	if err := <-failed; err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// A child is a program that has been started, with everything that it starts.
type child struct {
	*os.Process
	// ended delivers the program's end, once.
	ended <-chan waited
	// alone is closed when no process is left.
	alone <-chan struct{}
	// usage returns what all processes use.
	usage func() (use, error)
	// killAll kills all processes; some may start others meanwhile.
	killAll func()
}

// waited is what the system reports about the end of a program.
type waited struct {
	status syscall.WaitStatus
	known  bool
}

// reaper returns a function that waits for the program and for all processes that become children of the supervisor
// because their parents have exited.
func (c *child) reaper() func() {
	ended, alone := make(chan waited, 1), make(chan struct{})
	c.ended, c.alone = ended, alone
	return func() {
		defer close(alone)
		defer close(ended)
		for {
			var status syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &status, 0, nil)
			switch {
			case errors.Is(err, syscall.EINTR):
			case err != nil: // no child is left
				return
			case pid == c.Pid:
				ended <- waited{status, true}
			}
		}
	}
}

// endAll kills all processes until none is left. Within patience: the system may be unable to end one that waits for a
// device.
func (c *child) endAll(patience time.Duration) error {
	late := time.After(patience)
	again := time.NewTicker(killEvery)
	defer again.Stop()
	for {
		c.killAll()
		select {
		case <-c.alone:
			return nil
		case <-again.C:
		case <-late:
			return fmt.Errorf("processes of the executor did not end within %s of being killed", patience)
		}
	}
}

const (
	// killEvery is the time between two attempts to kill processes that start others.
	killEvery = 5 * time.Millisecond
	// killPatience bounds all attempts.
	killPatience = 10 * time.Second
)
