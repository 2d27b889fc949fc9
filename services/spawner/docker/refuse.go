package docker

import (
	"context"
	"strings"

	"github.com/moby/moby/client"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// refuse is the error for an executor that cannot be started as its progdef requires.
func refuse(message, hint string, pointer ...string) *backend.StartError {
	return &backend.StartError{Problem: problem.Problem{
		Code: problem.StartRefused, Pointer: problem.Pointer(pointer...), Message: message, Hint: hint,
	}}
}

// never formats the same problem as the reason of an exit.
func never(e *backend.StartError) string { return e.Problem.Message + "; " + e.Problem.Hint }

// answered reports whether an error is the daemon's answer. Without an answer it is unknown what the daemon
// has done.
func answered(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !client.IsErrConnectionFailed(err)
}

// wordsLimit limits the daemon's messages, in bytes: they may include the output of other programs.
const wordsLimit = 1 << 10

// words is the daemon's message without its prefix.
func words(err error) string {
	return document.Shorten(strings.TrimPrefix(err.Error(), "Error response from daemon: "), wordsLimit)
}
