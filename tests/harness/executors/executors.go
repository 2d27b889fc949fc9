// Package executors finds the processes of executors that the process backend runs, for tests that kill them.
package executors

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Dir is the state directory of a process backend.
type Dir string

// Executors lists the ids of the executors that have files, running or not.
func (d Dir) Executors() []string {
	dirs, err := filepath.Glob(filepath.Join(string(d), "executors", "*", "lock"))
	if err != nil {
		return nil
	}
	for i, lock := range dirs {
		dirs[i] = filepath.Base(filepath.Dir(lock))
	}
	return dirs
}

// SupervisorPID is the id of the process that supervises an executor, or 0 if it has exited.
func (d Dir) SupervisorPID(executor string) int {
	f, err := os.OpenFile(filepath.Join(string(d), "executors", executor, "lock"), os.O_RDWR, 0)
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock) != nil || lock.Type == unix.F_UNLCK {
		return 0
	}
	return int(lock.Pid)
}

// ProgramPID is the id of the process that runs an executor's program, or 0 if there is none.
func (d Dir) ProgramPID(executor string) int {
	supervisor := d.SupervisorPID(executor)
	if supervisor == 0 {
		return 0
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", supervisor))
	if err != nil {
		return 0
	}
	for _, task := range tasks {
		raw, err := os.ReadFile(task)
		if err != nil {
			continue
		}
		if pid, err := strconv.Atoi(strings.TrimSpace(string(raw))); err == nil {
			return pid
		}
	}
	return 0
}

// Kill sends SIGKILL to an executor's program, or to its supervisor. It reports whether there was one.
func (d Dir) Kill(executor string, supervisor bool) bool {
	pid := d.ProgramPID(executor)
	if supervisor {
		pid = d.SupervisorPID(executor)
	}
	return pid > 0 && unix.Kill(pid, unix.SIGKILL) == nil
}
