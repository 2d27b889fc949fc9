package shim

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// Init does what the first process of a container must do: reap orphaned processes. In PID 1, it runs
// this program again as a child, passes signals on to it, and returns its exit code once it has exited.
// Otherwise was is false, and Init does nothing.
func Init() (code int, was bool) {
	if os.Getpid() != 1 {
		return 0, false
	}
	code, err := superviseSelf()
	if err != nil {
		fmt.Fprintln(os.Stderr, "dagyo-exec: cannot start a child of PID 1:", err)
		code = executorFailed
	}
	return code, true
}

func superviseSelf() (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(self)
	cmd.Args = os.Args
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// Its own group: otherwise a terminal's interrupt would reach it twice.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan struct{})
	passed := make(chan struct{})
	go func() {
		defer close(passed)
		passOn(signals, cmd.Process, ended)
	}()
	code, err := reapUntil(cmd.Process.Pid)
	close(ended)
	<-passed
	return code, err
}

func passOn(signals <-chan os.Signal, to *os.Process, ended <-chan struct{}) {
	for {
		select {
		case s := <-signals:
			_ = to.Signal(s) // it may have exited
		case <-ended:
			return
		}
	}
}

// reapUntil waits for every child, including adopted ones, until the given child has exited.
func reapUntil(child int) (int, error) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return 0, fmt.Errorf("wait for children: %w", err)
		case pid == child && status.Signaled():
			return 128 + int(status.Signal()), nil
		case pid == child:
			return status.ExitStatus(), nil
		}
	}
}
