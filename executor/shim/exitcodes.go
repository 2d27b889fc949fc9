package shim

import (
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
