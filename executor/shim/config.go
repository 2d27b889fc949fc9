package shim

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"time"

	"github.com/dagyo/dagyo/executor"
)

const (
	// DefaultStopGrace is the default of Config.StopGrace.
	DefaultStopGrace = 5 * time.Second
	// MaxStopGrace is the longest time that a spawner waits for a stopped job to end.
	MaxStopGrace = 15 * time.Second
)

// Config is the command to run, and its settings.
type Config struct {
	// Command is the program and its arguments.
	Command []string
	// Framing holds the framings that are not determined by typenames.
	Framing Framings
	// ExitOK are the exit codes besides 0 that mean success, such as 1 for a grep without a match.
	ExitOK ExitCodes
	// StopGrace is the time from SIGTERM to SIGKILL when the flow was stopped. It is also how long an output that is
	// still open after the command has exited may be silent.
	StopGrace time.Duration
	// Stderr receives what commands write to standard error.
	Stderr io.Writer
}

// Settings are the values of the flags, in the order given.
type Settings struct {
	// Framing has values for [ParseFramings], ExitOK for [ParseExitCodes].
	Framing, ExitOK []string
}

// DefaultConfig runs a command with the framings and exit codes from the environment and from the settings. Framings in
// the settings override those in the environment.
func DefaultConfig(command []string, settings Settings) (Config, error) {
	c := Config{Command: command, Framing: Framings{}, StopGrace: DefaultStopGrace, Stderr: os.Stderr}
	for _, s := range append([]string{os.Getenv(EnvFraming)}, settings.Framing...) {
		set, err := ParseFramings(s)
		if err != nil {
			return c, err
		}
		for port, framing := range set {
			c.Framing[port] = framing
		}
	}
	for _, s := range append([]string{os.Getenv(EnvExitOK)}, settings.ExitOK...) {
		codes, err := ParseExitCodes(s)
		if err != nil {
			return c, err
		}
		c.ExitOK = append(c.ExitOK, codes...)
	}
	return c, nil
}

// Validate reports every error in the configuration, including a command that is not found.
func (c Config) Validate() error {
	var errs []error
	if len(c.Command) == 0 {
		errs = append(errs, errors.New("no command: write it after --"))
	} else if _, err := exec.LookPath(c.Command[0]); err != nil {
		errs = append(errs, cannotRun(c.Command[0], err))
	}
	if c.StopGrace <= 0 || c.StopGrace > MaxStopGrace {
		errs = append(errs, fmt.Errorf("--stop-grace is %s: it must be more than 0 and at most %s",
			c.StopGrace, MaxStopGrace))
	}
	return errors.Join(errs...)
}

// cannotRun explains why a command cannot be started.
func cannotRun(name string, err error) error {
	var e *exec.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return fmt.Errorf("cannot run command %q: not found in PATH %q", name, os.Getenv("PATH"))
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("cannot run command %q: the file or its interpreter does not exist", name)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("cannot run command %q: it is not executable", name)
	}
	return fmt.Errorf("cannot run command %q: %w", name, err)
}

// Program returns the command as a program that takes any ports.
func (c Config) Program() executor.Program {
	return executor.Program{Dynamic: true, Run: c.run}
}
