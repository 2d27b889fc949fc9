//go:build kubernetes

package kubernetes

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A cluster, here one inside the cluster, starts after another one was killed, and is removed completely.
func TestUpAndDown(t *testing.T) {
	t.Parallel()
	state := filepath.Join(t.TempDir(), "state")
	before := traces(t)
	nested(t, state, "up", "-nodes", "real=0,simulated=1")
	contains(t, "its nodes", nested(t, state, "exec", "--", "kubectl", "get", "nodes"), "simulated-000")

	kill(t, filepath.Join(state, "lock"))
	nested(t, state, "up", "-nodes", "real=0,simulated=1")
	nested(t, state, "down")
	nested(t, state, "down")
	if _, err := os.Stat(state); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the state still exists: %v", err)
	}
	if after := traces(t); after != before {
		t.Errorf("before: %s\nafter: %s", before, after)
	}
}

func nested(t *testing.T, state string, args ...string) string {
	t.Helper()
	out, err := exec.Command("cluster", append([]string{"-state", state}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("cluster %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// kill kills process 1 of a cluster, whose id is in the file, and waits until it has exited.
func kill(t *testing.T, file string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1); err != nil {
		t.Fatal(err)
	}
}

// traces are the cgroups of all clusters.
func traces(t *testing.T) string {
	t.Helper()
	cgroups, err := filepath.Glob("/sys/fs/cgroup/*/dagyo-kubernetes-*")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(cgroups, " ")
}
