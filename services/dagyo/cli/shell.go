package cli

import (
	"context"
	"errors"
	"os/exec"
	"syscall"
	"time"

	"github.com/dagyo/dagyo/services/spawner/tail"
)

const (
	// shellOutput bounds what is kept of the output of a command: its end.
	shellOutput = 64 << 10
	// shellGrace is how long a command may take to end after SIGTERM.
	shellGrace = 2 * time.Second
)

// runShell runs a command with a shell, and returns the end of its output. When the context ends, the command and all
// processes in its group end, too.
func runShell(ctx context.Context, dir, command string) (output string, err error) {
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	kept := tail.New(shellOutput)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, kept, kept
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = shellGrace
	if err := cmd.Start(); err != nil {
		return "", err
	}
	err = cmd.Wait()
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it left in its group
	if errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil {
		err = nil // it has ended well, but a process that it left had its output open
	}
	return kept.String(), err
}
