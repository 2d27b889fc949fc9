// Package backend is the interface between the spawner and the place that runs executors: local processes, a Docker
// host, a Kubernetes cluster. Implementations are named after their technology and have no policy: package spawner
// decides how many executors of which revision run.
package backend

import (
	"context"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
)

// A Spec is an executor to start.
type Spec struct {
	// Executor is the id, which is never reused; it names the executor in every event.
	Executor string `json:"executor"`
	Progdef  string `json:"progdef"`
	Revision string `json:"revision"`
	// Document describes what to run, with its environment and resources.
	Document progdef.Document `json:"document"`
	// Env holds the variables that take precedence over those of the progdef: Dagyo's (DAGYO_*) and the operator's. They
	// may be secret.
	Env map[string]string `json:"env"`
	// Secrets are the names of the operator's variables in Env: their values are masked in what jobs log, as those of
	// envFrom.
	Secrets []string `json:"secrets,omitempty"`
	// Credentials is the content of the executor's NATS credentials file, nil if Env names one. The backend puts it where
	// only the executor can read it.
	Credentials []byte `json:"-"`
	// CA is the certificates of the authorities that the executor trusts, nil if Env names a file or none is needed. They
	// are the same for all executors.
	CA []byte `json:"-"`
}

// OwnFiles returns the files that the backend gives to the executor.
func (s Spec) OwnFiles() (out []OwnFile) {
	for _, f := range []OwnFile{
		{contract.EnvCreds, "nats.creds", s.Credentials}, {contract.EnvTLSCA, "ca.crt", s.CA},
	} {
		if f.Content != nil {
			out = append(out, f)
		}
	}
	return out
}

// An OwnFile is a file for one executor.
type OwnFile struct {
	// Variable is the environment variable with its path.
	Variable string
	Name     string
	Content  []byte
}

// An Instance is an executor of the backend.
type Instance struct {
	Executor string `json:"executor"`
	Progdef  string `json:"progdef"`
	Revision string `json:"revision"`
}

// A Status is the current state of an executor.
type Status struct {
	Instance
	// Waiting is a sentence that explains why the executor cannot run yet (no machine has room for it, its image cannot
	// be pulled), or "" if nothing prevents it.
	Waiting string `json:"waiting,omitempty"`
}

// An Exit is the end of an executor.
type Exit struct {
	Instance
	// Code is the exit code, or -1 if a signal ended the process or the code is unknown.
	Code   int    `json:"code"`
	Signal string `json:"signal,omitempty"`
	// Reason is a sentence; Detail is the end of standard error, at most contract.DetailLimit bytes.
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`
	// Permanent is true if no executor of the revision can ever run as its progdef requires, and the backend detected
	// that only after Start. Reason then describes what to change.
	Permanent bool `json:"permanent,omitempty"`
}

// A Backend runs executors. All methods may be called concurrently.
//
// Executors outlive the spawner: they continue when it is killed, a new Backend on the same place finds them again, and
// exits in between are still reported.
type Backend interface {
	// Start starts an executor. Starting an id that is running or has run is not an error and starts nothing. A
	// *StartError means that it can never start as its progdef requires; any other error may be transient.
	Start(ctx context.Context, spec Spec) error
	// Drain tells an executor to finish its jobs and exit (SIGTERM), without waiting. Repeating it changes nothing, and
	// draining an exited executor is not an error. At the end of the progdef's grace period the executor is given up.
	Drain(ctx context.Context, executor string) error
	// GiveUp tells an executor, drained or not, to give up its running jobs (by a second SIGTERM, if the place can send
	// one), and kills it GiveUpGrace later, without waiting. Like Drain, it may be repeated.
	GiveUp(ctx context.Context, executor string) error
	// Protect sets whether an executor has jobs. A place that moves executors should not move busy ones. An executor is
	// protected from its start. Protect does nothing if the place does not move executors, or if the executor has
	// exited.
	Protect(ctx context.Context, executor string, busy bool) error
	// Renew replaces the content of a running executor's NATS credentials file, which it reads when it connects again. It
	// does nothing if the executor has no such file, or has exited. Where a file cannot be replaced, a program that is
	// started again finds the new content.
	Renew(ctx context.Context, executor string, credentials []byte) error
	// List returns the executors that are running, or waiting to run.
	List(ctx context.Context) ([]Status, error)
	// Exits delivers the exit of every executor at least once until Forget is called for it, including exits while no
	// spawner was running. Close closes the channel.
	Exits() <-chan Exit
	// Forget removes what is left of an executor that has exited (records, logs, containers).
	Forget(ctx context.Context, executor string) error
	// Close stops watching and waits for the backend's goroutines. Executors continue.
	Close() error
}

// Clear ends all executors of a backend at once, and removes what is left of them.
func Clear(ctx context.Context, b Backend) error {
	look := time.NewTicker(clearPause)
	defer look.Stop()
	quiet := 0
	for quiet < clearLooks { // an exit is delivered some time after the executor has left the list
		select {
		case x := <-b.Exits():
			quiet = 0
			if err := b.Forget(ctx, x.Executor); err != nil {
				return err
			}
			continue
		case <-look.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		all, err := b.List(ctx)
		if err != nil {
			return err
		}
		quiet++
		for _, s := range all {
			quiet = 0
			if err := b.GiveUp(ctx, s.Executor); err != nil {
				return err
			}
		}
	}
	return nil
}

// Clear looks for executors with these pauses, until it has seen none so often.
const (
	clearPause = 250 * time.Millisecond
	clearLooks = 4
)

// CredentialsDir is the folder in containers with the files for authentication with NATS that all executors share.
const CredentialsDir = "/run/dagyo"

// OwnDir is the folder in containers with the executor's own files.
const OwnDir = "/run/dagyo-executor"

// GiveUpGrace is how long an executor that is given up may take to publish its last events.
const GiveUpGrace = 5 * time.Second

// A StartError means that an executor cannot be started as its progdef requires.
type StartError struct {
	Problem problem.Problem
}

func (e *StartError) Error() string { return e.Problem.String() }
