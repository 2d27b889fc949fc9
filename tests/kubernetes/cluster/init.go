//go:build linux

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// The files with which process 1 is started, besides its log.
const (
	lockFD   = 3
	reportFD = 4
)

// Init is process 1 of a cluster: it runs the supervisor and reaps orphaned processes. The cluster ends with it.
func Init(state string) error {
	unix.CloseOnExec(lockFD)
	unix.CloseOnExec(reportFD)
	report := os.NewFile(reportFD, "report")
	self, err := os.Executable()
	if err != nil {
		return err
	}
	supervisor, err := os.StartProcess(self, []string{self, SuperviseCommand, state}, &os.ProcAttr{
		Files: []*os.File{nil, os.Stdout, os.Stderr, report},
	})
	if err != nil {
		return err
	}
	report.Close()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return err
		case pid == supervisor.Pid:
			return fmt.Errorf("the supervisor ended with status %#x", status)
		}
	}
}

// Supervise runs the components of the cluster. It returns only when one of them has exited.
func Supervise(state string) error {
	report := os.NewFile(3, "report")
	defer report.Close()
	unix.CloseOnExec(3)
	config, err := readConfig(state)
	if err != nil {
		return err
	}
	err = supervise(context.Background(), config, func() {
		fmt.Fprint(report, up)
		report.Close()
	})
	fmt.Fprint(report, err)
	return err
}

func readConfig(state string) (config Config, err error) {
	content, err := os.ReadFile(configFile(state))
	if err != nil {
		return config, err
	}
	return config, json.Unmarshal(content, &config)
}
