package docker

import (
	"context"
	"strings"

	"github.com/moby/moby/client"

	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// refuse is the error of an executor that cannot be started as its progdef asks.
func refuse(message, hint string, pointer ...string) error {
	return &backend.StartError{Problem: problem.Problem{
		Code: problem.StartRefused, Pointer: problem.Pointer(pointer...), Message: message, Hint: hint,
	}}
}

// answered reports whether an error is the daemon's answer. Without an answer nobody knows what it has
// done.
func answered(ctx context.Context, err error) bool {
	return ctx.Err() == nil && !client.IsErrConnectionFailed(err)
}

// wordsLimit bounds what the daemon says, in octets: it may pass on the output of other programs.
const wordsLimit = 1 << 10

// words is what the daemon said, without who said it.
func words(err error) string {
	s := strings.TrimPrefix(err.Error(), "Error response from daemon: ")
	if len(s) <= wordsLimit {
		return s
	}
	return strings.ToValidUTF8(s[:wordsLimit], "") + "…"
}
