//go:build !linux

package process

import "syscall"

// programAttr puts a program into its own process group. Only Linux can tie its life to its
// supervisor's.
func programAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
