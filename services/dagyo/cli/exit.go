package cli

import (
	"context"
	"errors"
	"syscall"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/dagyo/client"
)

// Exit codes; docs/exit-codes.md is the same list.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitRejected    = 3
	ExitPanic       = 4
	ExitCancelled   = 5
	ExitNotFound    = 6
	ExitTests       = 7
	ExitUnknown     = 8
	ExitInterrupted = 130
)

// exitCodes is the text of `dagyo help exit-codes`.
const exitCodes = `Exit codes:

  0    success; for a flow: it completed
  1    failure: server or service not reachable, connection lost, input not readable, output not writable, a bug
  2    invalid arguments; nothing was done
  3    document rejected: flow.rejected, progdef.rejected, validation failed, or its id is taken
  4    the flow panicked
  5    the flow was cancelled
  6    flow or progdef not found
  7    a test case failed
  8    the outcome is unknown: the server did not answer in time
  130  interrupted before the command was done

The exit code of run, attach, watch FLOW-ID and submit --wait is that of the flow's
verdict.
The command cancel exits with 0 once the flow has ended, whatever its verdict.
`

// exit is an error that knows its exit code. Without err all has been said already.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return "exit"
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// told ends the command with a code when what happened was said already.
func told(code int) error {
	if code == ExitOK {
		return nil
	}
	return &exit{code: code}
}

// usage is an error of the arguments.
func usage(err error) error { return &exit{ExitUsage, err} }

// codeOf returns the exit code that an error stands for, and whether it was told already.
func codeOf(err error) (code int, told bool) {
	var known *exit
	var problems problem.List
	switch {
	case errors.As(err, &known):
		return known.code, known.err == nil
	case errors.Is(err, syscall.EPIPE): // whoever reads our output has all that it wants
		return ExitOK, true
	case errors.Is(err, errInterrupted), errors.Is(err, errAbandoned), errors.Is(err, context.Canceled):
		return ExitInterrupted, false
	case errors.Is(err, client.ErrUnknownOutcome):
		return ExitUnknown, false
	case errors.Is(err, client.ErrUnknownFlow), errors.Is(err, client.ErrUnknownProgdef),
		errors.Is(err, client.ErrUnknownType):
		return ExitNotFound, false
	case errors.As(err, &problems), errors.Is(err, client.ErrIDTaken):
		return ExitRejected, false
	}
	return ExitFailed, false
}

// verdictCode is the exit code that stands for how a flow has ended.
func verdictCode(t contract.Type) int {
	switch t {
	case contract.TypeFlowCompleted:
		return ExitOK
	case contract.TypeFlowPanic:
		return ExitPanic
	case contract.TypeFlowCancelled:
		return ExitCancelled
	case contract.TypeFlowRejected:
		return ExitRejected
	}
	return ExitFailed
}
