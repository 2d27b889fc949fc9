package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// prepareCgroups creates the directory and enables its controllers, and tries both. It fails on cgroup v1, and where
// this process may not do that.
func prepareCgroups(dir string) error {
	const controllers = "+memory +pids +cpu"
	above := filepath.Dir(dir)
	var stat unix.Statfs_t
	if err := unix.Statfs(above, &stat); err != nil {
		return err
	}
	if stat.Type != unix.CGROUP2_SUPER_MAGIC {
		return fmt.Errorf("%s is not cgroup v2", above)
	}
	if err := os.WriteFile(filepath.Join(above, "cgroup.subtree_control"), []byte(controllers), 0); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(controllers), 0); err != nil {
		return err
	}
	trial := cgroup(filepath.Join(dir, "trial-"+strconv.Itoa(os.Getpid())))
	return errors.Join(trial.make(bounds{Limits: Limits{Memory: minMemory, Processes: minProcesses}}), trial.remove())
}

// make creates the cgroup with its limits.
func (g cgroup) make(b bounds) error {
	if err := os.Mkdir(string(g), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for name, value := range b.cgroupFiles() {
		err := os.WriteFile(filepath.Join(string(g), name), []byte(value), 0)
		if name == "memory.swap.max" && errors.Is(err, fs.ErrNotExist) {
			err = nil // a kernel without swap
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// cgroupFiles are the files of a cgroup with these bounds. A cgroup that has no memory left is killed as a whole.
func (b bounds) cgroupFiles() map[string]string {
	files := map[string]string{"memory.oom.group": "1", "pids.max": strconv.Itoa(b.Processes)}
	if b.Memory > 0 {
		files["memory.max"] = strconv.FormatInt(b.Memory, 10)
		files["memory.swap.max"] = "0"
	}
	if b.MilliCPU > 0 {
		files["cpu.max"] = fmt.Sprintf("%d 100000", b.MilliCPU*100)
	}
	return files
}

// open opens the cgroup for the start of a process in it.
func (g cgroup) open() (*os.File, error) {
	return os.OpenFile(string(g), unix.O_PATH|unix.O_DIRECTORY, 0)
}

// remove removes the cgroup, which must be empty. It may not exist.
func (g cgroup) remove() error {
	if g == "" {
		return nil
	}
	err := os.Remove(string(g))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// events reports whether a process was killed because there was no memory left, and whether one could not be started.
func (g cgroup) events() (killed, refused bool) {
	if g == "" {
		return false, false
	}
	count := func(file, name string) bool {
		text, _ := os.ReadFile(filepath.Join(string(g), file))
		for line := range strings.Lines(string(text)) {
			if value, ok := strings.CutPrefix(line, name+" "); ok {
				return strings.TrimSpace(value) != "0"
			}
		}
		return false
	}
	return count("memory.events", "oom_kill"), count("pids.events", "max")
}
