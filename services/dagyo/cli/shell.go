package cli

import (
	"context"
	"errors"
	"os/exec"
	"strings"
	"syscall"
	"time"
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
	var kept lastBytes
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &kept, &kept
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
	return strings.ToValidUTF8(string(kept), "\ufffd"), err
}

// lastBytes keeps the last shellOutput bytes.
type lastBytes []byte

// Write implements io.Writer.
func (l *lastBytes) Write(b []byte) (int, error) {
	*l = append(*l, b...)
	if over := len(*l) - shellOutput; over > 0 {
		*l = append((*l)[:0], (*l)[over:]...)
	}
	return len(b), nil
}
