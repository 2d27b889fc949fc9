package process

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/dagyo/dagyo/services/spawner/backend"
)

func TestCgroupFiles(t *testing.T) {
	b := bounds{Limits: Limits{Memory: 1 << 30, Processes: 100}, MilliCPU: 1500}
	got := b.cgroupFiles()
	for name, want := range map[string]string{
		"memory.max": "1073741824", "memory.swap.max": "0", "memory.oom.group": "1", "pids.max": "100", "cpu.max": "150000 100000",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if got := (bounds{}).cgroupFiles(); len(got) != 2 {
		t.Errorf("without limits: %v", got)
	}
}

func TestCgroupReasons(t *testing.T) {
	dir := t.TempDir()
	e := enclosure{Cgroup: cgroup(dir), Bounds: bounds{Limits: Limits{Memory: 64 << 20, Processes: 100}, MemoryFrom: "x"}}
	killed := backend.Exit{Code: -1, Signal: "SIGKILL", Reason: "it was killed by SIGKILL"}
	failed := backend.Exit{Code: 2, Reason: "it exited with code 2"}
	for _, c := range []struct {
		memory, pids string
		exit         backend.Exit
		want         string
	}{
		{"low 0\noom_kill 0\n", "max 0\n", killed, "it was killed by SIGKILL"},
		{"low 0\noom_kill 2\n", "max 0\n", killed, "it was killed: it used more memory than its limit of 64Mi (x)"},
		{"oom_kill 2\n", "max 0\n", backend.Exit{Reason: "it exited with code 0"}, "it exited with code 0"},
		{"oom_kill 0\n", "max 7\n", failed,
			"it exited with code 2; it reached its limit of 100 processes and threads (--executor-processes)"},
		{"", "", failed, "it exited with code 2"},
	} {
		for name, text := range map[string]string{"memory.events": c.memory, "pids.events": c.pids} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := e.explain(c.exit); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// The kernel keeps the limits; TestLimits tries them where the machine has cgroup v2.
func TestPrepareCgroups(t *testing.T) {
	if err := prepareCgroups(filepath.Join(t.TempDir(), "dagyo")); err == nil {
		t.Error("an ordinary directory is no cgroup")
	}
}
