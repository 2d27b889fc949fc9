//go:build !linux

package process

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const howToEnclose = "run dagyo on Linux"

var errLinux = errors.New("only Linux can enclose a program")

// supervisorAttr gives a supervisor its own session.
func supervisorAttr(bool) *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func guard() error { return nil }

func (e enclosure) enter() (*os.Root, error) { return nil, errLinux }

// spawn starts a program in its own process group. Only Linux can tie its life to its supervisor's.
func (e enclosure) spawn(path string, args []string, attr *os.ProcAttr) (*child, error) {
	if e.Enclosed {
		return nil, &enclosureError{errLinux}
	}
	attr.Sys = &syscall.SysProcAttr{Setpgid: true}
	p, err := os.StartProcess(path, args, attr)
	if err != nil {
		return nil, err
	}
	c := &child{Process: p, usage: func() (use, error) { return use{}, nil }}
	c.killAll = func() { _ = unix.Kill(-p.Pid, unix.SIGKILL) }
	go c.reaper()()
	return c, nil
}

func killMarked(string) error { return nil }

func prepareCgroups(string) error { return errLinux }

func (g cgroup) remove() error { return nil }

func (g cgroup) events() (killed, refused bool) { return false, false }

func machineMemory() int64 { return 0 }
