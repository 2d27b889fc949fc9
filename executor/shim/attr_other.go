//go:build !linux

package shim

import "syscall"

// commandAttr puts a command into a process group of its own.
func commandAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
