//go:build !linux

package shim

import "syscall"

// commandAttr puts a command into its own process group.
func commandAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
