package shim

import "syscall"

// commandAttr puts a command into its own process group, and lets the kernel kill it when the
// executor dies. The caller must stay on its thread as long as the command lives.
func commandAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
