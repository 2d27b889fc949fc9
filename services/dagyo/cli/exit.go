package cli

import (
	"context"
	"errors"
	"syscall"

	"github.com/dagyo/dagyo/pkg/client"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
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
	ExitChanges     = 9
	ExitInterrupted = 130
)

// exitCodes is the text of `dagyo help exit-codes`.
const exitCodes = `Exit codes:

  0    success; for a flow: it completed
  1    failure: no server, no service, a lost connection, an I/O error, or a bug
  2    invalid arguments; nothing was done
  3    the document was rejected or is not valid, or its id is in use
  4    the flow panicked
  5    the flow was cancelled
  6    flow, node, progdef or type not found
  7    a test case failed
  8    the outcome is unknown: the server did not answer in time
  9    the server differs (dagyo apply --dry-run --exit-code)
  130  interrupted by a signal before the command was done

The commands run, attach, watch FLOW-ID and submit --wait exit with the code of
their flow's verdict. The command cancel exits with 0 once the flow has ended,
whatever its verdict.
`

// exit is an error with an exit code. If err is nil, the error was already printed.
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

// told returns an error that exits with a code, for what was already printed.
func told(code int) error {
	if code == ExitOK {
		return nil
	}
	return &exit{code: code}
}

// usage marks an error of the arguments.
func usage(err error) error { return &exit{ExitUsage, err} }

// codeOf returns the exit code of an error, and whether the error was already printed.
func codeOf(err error) (code int, told bool) {
	var known *exit
	var problems problem.List
	switch {
	case errors.As(err, &known):
		return known.code, known.err == nil
	case errors.Is(err, syscall.EPIPE): // the reader of the output needs no more
		return ExitOK, true
	case errors.Is(err, errInterrupted), errors.Is(err, errAbandoned), errors.Is(err, context.Canceled):
		return ExitInterrupted, false
	case errors.Is(err, client.ErrUnknownOutcome):
		return ExitUnknown, false
	case errors.Is(err, client.ErrUnknownFlow), errors.Is(err, client.ErrUnknownProgdef), errors.Is(err, client.ErrUnknownWebhook),
		errors.Is(err, client.ErrUnknownType), errors.Is(err, client.ErrUnknownNode):
		return ExitNotFound, false
	case errors.As(err, &problems), errors.Is(err, client.ErrIDTaken), errors.Is(err, client.ErrOtherUser):
		return ExitRejected, false
	}
	return ExitFailed, false
}

// verdictCode returns the exit code of a verdict.
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
