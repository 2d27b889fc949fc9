package docker

import (
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/services/spawner/backend"
)

// refuse is the error of an executor that cannot be started as its progdef asks.
func refuse(message, hint string, pointer ...string) error {
	return &backend.StartError{Problem: problem.Problem{
		Code: problem.StartRefused, Pointer: problem.Pointer(pointer...), Message: message, Hint: hint,
	}}
}
