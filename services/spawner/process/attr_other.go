//go:build !linux

package process

import "syscall"

// programAttr puts a program into a process group of its own. Only Linux can tie its life to its
// supervisor's.
func programAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
