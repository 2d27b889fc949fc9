//go:build linux

package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Variables in the environment of Exec's commands besides KUBECONFIG, for tests of modules that may not import this
// one.
const (
	AddressVariable  = "DAGYO_KUBERNETES_ADDRESS"
	RegistryVariable = "DAGYO_KUBERNETES_REGISTRY"
)

// Exec runs a command inside the cluster with the caller's files and directory, and returns its result. Its PATH
// contains kubectl, and cluster, the program that runs the cluster.
func Exec(state string, command ...string) error {
	pid, err := process(state)
	if err != nil {
		return err
	}
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	cmd := exec.Command("env", command...) // which looks up the command in the PATH inside
	cmd.Dir = dir
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = environment()

	// An interrupt from the terminal also reaches the command.
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

// environment is the caller's without proxies, which cannot be reached.
func environment() []string {
	env := slices.DeleteFunc(os.Environ(), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return strings.HasSuffix(strings.ToLower(name), "_proxy")
	})
	return append(env,
		"PATH="+path("bin")+":"+os.Getenv("PATH"), "KUBECONFIG="+Kubeconfig,
		AddressVariable+"="+Address, RegistryVariable+"="+Registry,
	)
}

// startInside starts the command from a thread that has entered the namespaces. The thread cannot leave them, so it
// exits with the goroutine that is locked to it.
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
		return fmt.Errorf("enter the cluster, which needs root: %w", err)
	}
	return nil
}

// linkPrograms links programs into the PATH of Exec's commands.
func linkPrograms(distribution string) error {
	if err := os.MkdirAll(path("bin"), 0o755); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return errors.Join(
		os.Symlink(self, path("bin", "cluster")),
		os.Symlink(filepath.Join(distribution, "kubernetes"), path("bin", "kubectl")),
	)
}
