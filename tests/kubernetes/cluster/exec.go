//go:build linux

package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// Exec runs a command inside the cluster with the caller's files and directory, and returns how it
// ended. kubectl is in its PATH, and the administrator's configuration in KUBECONFIG.
func Exec(state string, command ...string) error {
	pid, err := process(state)
	if err != nil {
		return err
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	cmd := exec.Command("env", command...) // which finds the command inside, by the PATH there
	cmd.Dir = dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "KUBECONFIG="+Kubeconfig, "PATH="+path("bin")+":"+os.Getenv("PATH"))

	// An interrupt from the terminal reaches the command by itself.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM)
	defer signal.Stop(signals)
	if err := startInside(pid, cmd); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case err := <-done:
			return err
		case s := <-signals:
			if s == unix.SIGTERM {
				cmd.Process.Signal(s)
			}
		}
	}
}

// startInside starts the command from a thread that has entered the namespaces. That thread can't
// come back, so it ends with the goroutine that is locked to it.
func startInside(pid int, cmd *exec.Cmd) error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		err := enter(pid)
		if err == nil {
			err = cmd.Start()
		}
		started <- err
	}()
	return <-started
}

func enter(pid int) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("find the cluster: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return err
	}
	if err := unix.Setns(fd, unix.CLONE_NEWNET|unix.CLONE_NEWNS|unix.CLONE_NEWPID); err != nil {
		return fmt.Errorf("enter the cluster, which takes root: %w", err)
	}
	return nil
}

// linkKubectl puts kubectl where Exec's commands find it.
func linkKubectl(distribution string) error {
	if err := os.MkdirAll(path("bin"), 0o755); err != nil {
		return err
	}
	return os.Symlink(filepath.Join(distribution, "kubernetes"), path("bin", "kubectl"))
}
