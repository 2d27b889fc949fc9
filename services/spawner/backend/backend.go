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

// A Status is an executor as it stands now.
type Status struct {
	Instance
	// Waiting says in a sentence why the executor cannot run yet (no machine has room for it, its image
	// cannot be had); "" while nothing is in the way.
	Waiting string `json:"waiting,omitempty"`
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
	// Permanent is true when no executor of the revision can ever run as its progdef asks, and the
	// backend found that out only after Start: then Reason says what to change.
	Permanent bool `json:"permanent,omitempty"`
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
	// Drain asks an executor to finish its jobs and exit (SIGTERM); it does not wait. Doing it again
	// changes nothing, and draining an executor that is gone is not an error. At the end of the
	// progdef's grace period the executor is given up.
	Drain(ctx context.Context, executor string) error
	// GiveUp tells an executor to give up its running jobs (a second SIGTERM, where the place can send
	// one), drained or not, and kills it GiveUpGrace later; it does not wait. As Drain, it may be
	// repeated.
	GiveUp(ctx context.Context, executor string) error
	// Protect says whether an executor has jobs, so that the place can spare it: nothing that moves
	// executors about should move one that works. An executor is protected from its start on. Where
	// nobody moves them, it does nothing; for one that is gone, too.
	Protect(ctx context.Context, executor string, busy bool) error
	// List returns the executors that run now, or will once the place lets them.
	List(ctx context.Context) ([]Status, error)
	// Exits delivers the end of every executor at least once, those included that ended while no
	// spawner ran, until Forget is called for it. The channel is closed by Close.
	Exits() <-chan Exit
	// Forget removes what is left of an executor that has exited (records, logs, containers).
	Forget(ctx context.Context, executor string) error
	// Close stops watching and waits for the backend's goroutines. Executors go on.
	Close() error
}

// CredentialsDir is where executors in containers find the files that let them into NATS.
const CredentialsDir = "/run/dagyo"

// GiveUpGrace is how long an executor that is given up has for its last words.
const GiveUpGrace = 5 * time.Second

// A StartError says that an executor cannot be started as its progdef asks.
type StartError struct {
	Problem problem.Problem
}

func (e *StartError) Error() string { return e.Problem.String() }
