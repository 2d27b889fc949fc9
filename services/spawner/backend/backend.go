// Package backend is what the spawner asks of the place that runs executors: local processes,
// a Docker host, a Kubernetes cluster. Implementations are named after their technology and hold no
// policy: how many executors of which revision run is decided in package spawner.
package backend

import (
	"context"
	"time"

	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// A Spec is an executor to start.
type Spec struct {
	// Executor is the id, unique for ever; it names the executor in every event.
	Executor string `json:"executor"`
	Progdef  string `json:"progdef"`
	Revision string `json:"revision"`
	// Document says what to run, with which environment and resources.
	Document progdef.Document `json:"document"`
	// Env is what Dagyo adds to the progdef's own environment (DAGYO_*).
	Env map[string]string `json:"env"`
}

// An Instance is an executor that the backend runs.
type Instance struct {
	Executor string `json:"executor"`
	Progdef  string `json:"progdef"`
	Revision string `json:"revision"`
}

// An Exit is the end of an executor.
type Exit struct {
	Instance
	// Code is the exit code, -1 when a signal ended the process or nobody saw the end.
	Code   int    `json:"code"`
	Signal string `json:"signal,omitempty"`
	// Reason is a sentence; Detail the end of standard error, at most contract.DetailLimit octets.
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`
}

// A Backend runs executors. All methods may be called concurrently.
//
// A backend outlives the spawner: executors go on when the spawner is killed, a new Backend on the
// same place finds them again, and exits that happened in between are still reported.
type Backend interface {
	// Start starts an executor. Starting an id that runs or has run is not an error and starts
	// nothing. A *StartError says that it can never start as its progdef asks; any other error may
	// pass.
	Start(ctx context.Context, spec Spec) error
	// Drain asks an executor to finish its jobs and exit; it does not wait. Draining an executor that
	// is gone is not an error. After the progdef's grace period the backend kills it. A second Drain
	// of the same executor tells it to give up its running jobs now, and the backend kills it
	// GiveUpGrace later.
	Drain(ctx context.Context, executor string) error
	// List returns the executors that run now.
	List(ctx context.Context) ([]Instance, error)
	// Exits delivers the end of every executor at least once, those included that ended while no
	// spawner ran, until Forget is called for it. The channel is closed by Close.
	Exits() <-chan Exit
	// Forget removes what is left of an executor that has exited (records, logs, containers).
	Forget(ctx context.Context, executor string) error
	// Close stops watching and waits for the backend's goroutines. Executors go on.
	Close() error
}

// GiveUpGrace is how long an executor has for its last words after a second Drain.
const GiveUpGrace = 10 * time.Second

// A StartError says that an executor cannot be started as its progdef asks.
type StartError struct {
	Problem problem.Problem
}

func (e *StartError) Error() string { return e.Problem.String() }
