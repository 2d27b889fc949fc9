package harness

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Executors lists the ids of the executors that have files, running or not.
func (s *Stack) Executors() []string {
	dirs, err := filepath.Glob(filepath.Join(s.Dir, "executors", "*", "lock"))
	if err != nil {
		return nil
	}
	for i, d := range dirs {
		dirs[i] = filepath.Base(filepath.Dir(d))
	}
	return dirs
}

// SupervisorPID is the id of the process that supervises an executor, or 0 if it has exited.
func (s *Stack) SupervisorPID(executor string) int {
	f, err := os.OpenFile(filepath.Join(s.Dir, "executors", executor, "lock"), os.O_RDWR, 0)
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
func (s *Stack) ProgramPID(executor string) int {
	supervisor := s.SupervisorPID(executor)
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
func (s *Stack) Kill(executor string, supervisor bool) bool {
	pid := s.ProgramPID(executor)
	if supervisor {
		pid = s.SupervisorPID(executor)
	}
	return pid > 0 && unix.Kill(pid, unix.SIGKILL) == nil
}

// Memory is the resident memory of a process in bytes, or 0 if it has exited.
func Memory(pid int) int64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10
		}
	}
	return 0
}
