package process

import "syscall"

// programAttr puts a program into its own process group and lets the kernel kill it when its
// supervisor dies. The caller must stay on its thread as long as the program lives.
func programAttr() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
