package shim

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// EnvExitOK holds exit codes as ParseExitCodes reads them; the flag adds to them.
const EnvExitOK = "EXEC_EXIT_OK"

// maxExitCode is the largest exit code that an operating system keeps.
const maxExitCode = 255

// ExitCodes are the exit codes besides 0 with which a command may end normally.
type ExitCodes []int

// ParseExitCodes reads numbers parted by commas or spaces, such as "1,3".
func ParseExitCodes(settings string) (ExitCodes, error) {
	var codes ExitCodes
	for _, s := range strings.FieldsFunc(settings, func(r rune) bool { return r == ',' || r == ' ' }) {
		code, err := strconv.Atoi(s)
		if err != nil || code < 0 || code > maxExitCode {
			return nil, fmt.Errorf("%q is not an exit code: it must be a number from 0 to %d", s, maxExitCode)
		}
		codes = append(codes, code)
	}
	return codes, nil
}

func (c ExitCodes) has(code int) bool { return code == 0 || slices.Contains(c, code) }

// maxOwnCode is the largest exit code that a command chooses by itself. Shells use those above it for commands that
// cannot be run or were killed.
const maxOwnCode = 125

// An exitError is the failure of a command that exited with a code that is not a normal end.
type exitError struct {
	command string
	code    int
}

func (e exitError) Error() string {
	return fmt.Sprintf("command `%s` exited with code %d", e.command, e.code)
}

// explained adds to the failure of a command that wrote nothing to standard error that its exit code may be a normal
// end.
func explained(err error, stderr string) error {
	var exit exitError
	if stderr != "" || !errors.As(err, &exit) || exit.code > maxOwnCode {
		return err
	}
	return fmt.Errorf("%w and wrote nothing to standard error; if %d is a normal end, start it with --exit-ok %d",
		err, exit.code, exit.code)
}
