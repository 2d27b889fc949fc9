//go:build linux

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Config describes the nodes and the location of a cluster.
type Config struct {
	// State is the absolute path of the directory that contains the cluster. It identifies the cluster: several
	// clusters need different directories.
	State string
	// Distribution is the absolute path of the directory with the programs kubernetes and pause.
	Distribution string
	// Real requests a node with a kubelet.
	Real bool
	// Simulated is the number of nodes that only claim to run pods.
	Simulated int
	// Patience limits the time until the nodes are ready.
	Patience time.Duration
}

// ErrDown means that there is no such cluster.
var ErrDown = errors.New("the cluster is not up")

// The arguments with which [Up] runs its own program again. The program must then call [Init] or [Supervise].
const (
	InitCommand      = "init"
	SuperviseCommand = "supervise"
)

// Up starts a cluster and returns when its nodes are ready. It removes the remains of a cluster with the same state
// directory that was killed. If it fails, only the logs are kept.
func Up(ctx context.Context, config Config) error {
	if err := check(config); err != nil {
		return err
	}
	switch _, err := process(config.State); {
	case err == nil:
		return fmt.Errorf("a cluster with its state in %s is up: take it down first", config.State)
	case !errors.Is(err, ErrDown):
		return err
	}
	err := remove(config.State, false)
	if err == nil {
		err = prepare(config)
	}
	if err == nil {
		err = start(ctx, config.State)
	}
	if err != nil {
		return errors.Join(err, Down(config.State, true))
	}
	return nil
}

// Down ends the cluster, whatever it is doing, and removes it; only the logs may be kept. It is not an error if there
// is no cluster.
func Down(state string, keepLogs bool) error {
	pid, err := process(state)
	if err == nil {
		err = kill(pid)
	}
	if err != nil && !errors.Is(err, ErrDown) {
		return fmt.Errorf("end the cluster: %w", err)
	}
	return remove(state, keepLogs)
}

// check reports what the machine lacks.
func check(config Config) error {
	var errs []error
	if os.Geteuid() != 0 {
		errs = append(errs, errors.New("namespaces and containers need root"))
	}
	for _, program := range []string{"kubernetes", "pause"} {
		if _, err := os.Stat(filepath.Join(config.Distribution, program)); err != nil {
			errs = append(errs, fmt.Errorf("%w (make kubernetes-build)", err))
		}
	}
	for _, program := range []string{"containerd", "runc", "/usr/lib/cni/ptp", "ip", "nft"} {
		if _, err := exec.LookPath(program); err != nil {
			errs = append(errs, fmt.Errorf("%w (make kubernetes-deps)", err))
		}
	}
	return errors.Join(errs...)
}

func prepare(config Config) error {
	if err := os.MkdirAll(logs(config.State), 0o755); err != nil {
		return err
	}
	if err := makeCgroup(cgroup(config.State)); err != nil {
		return err
	}
	content, err := json.Marshal(config)
	if err != nil {
		return err
	}
	return os.WriteFile(configFile(config.State), content, 0o644)
}

func remove(state string, keepLogs bool) error {
	if err := removeCgroup(cgroup(state)); err != nil {
		return err
	}
	if !keepLogs {
		return os.RemoveAll(state)
	}
	entries, err := os.ReadDir(state)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	err = nil
	for _, e := range entries {
		if e.Name() != "log" {
			err = errors.Join(err, os.RemoveAll(filepath.Join(state, e.Name())))
		}
	}
	return err
}

// start runs process 1 and returns what it reports.
func start(ctx context.Context, state string) error {
	lock, err := os.Create(lockFile(state))
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	log, err := os.Create(filepath.Join(logs(state), "cluster.log"))
	if err != nil {
		return err
	}
	defer log.Close()
	report, reported, err := os.Pipe()
	if err != nil {
		return err
	}
	defer report.Close()
	defer context.AfterFunc(ctx, func() { report.Close() })()

	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, InitCommand, state)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{lock, reported}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
	}
	err = cmd.Start()
	reported.Close()
	if err != nil {
		return fmt.Errorf("start in separate namespaces, which needs root: %w", err)
	}
	if _, err := fmt.Fprintln(lock, cmd.Process.Pid); err != nil {
		return err
	}
	return await(ctx, report)
}

// up is the supervisor's report when the cluster is ready.
const up = "up"

func await(ctx context.Context, report io.Reader) error {
	said, err := io.ReadAll(report)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return err
	case string(said) == up:
		return nil
	case len(said) == 0:
		return errors.New("the cluster ended without a report")
	}
	return errors.New(string(said))
}

func logs(state string) string { return filepath.Join(state, "log") }

func configFile(state string) string { return filepath.Join(state, "config.json") }

// lockFile is locked by process 1 while it is running, and contains its id.
func lockFile(state string) string { return filepath.Join(state, "lock") }

// process returns the id of the cluster's process 1, or [ErrDown].
func process(state string) (int, error) {
	lock, err := os.Open(lockFile(state))
	if errors.Is(err, os.ErrNotExist) {
		return 0, ErrDown
	}
	if err != nil {
		return 0, err
	}
	defer lock.Close()
	err = unix.Flock(int(lock.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if err == nil {
		return 0, ErrDown
	}
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return 0, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	content, err := io.ReadAll(lock)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return 0, fmt.Errorf("%s does not contain the id of the process that holds it: %w", lock.Name(), err)
	}
	return pid, nil
}

// kill kills process 1, and returns when the kernel has ended all processes inside.
func kill(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil {
		return err
	}
	ended := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(ended, -1)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
