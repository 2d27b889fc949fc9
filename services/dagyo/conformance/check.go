package conformance

import (
	"context"
	"errors"
	"slices"
)

// A Check is one demand of docs/protocol.md.
type Check struct {
	// Name is stable.
	Name string
	// Demand is one sentence: what an executor must do. See is where docs/protocol.md says it.
	Demand, See string

	// run says what was seen; an error is what was wrong, or a skip.
	run func(context.Context, *stage) (seen string, err error)
	// alone asks for a NATS server of its own, open for one of its own without roles.
	alone, open bool
}

// skip is the error of a check that does not apply.
type skip struct{ why string }

func (s *skip) Error() string { return s.why }

func skipped(err error) (why string, ok bool) {
	var s *skip
	if errors.As(err, &s) {
		return s.why, true
	}
	return "", false
}

// startCheck is run before all others.
const startCheck = "start.job"

func startChecks() []Check {
	return []Check{{
		Name: startCheck, See: "Executors, Environment", run: startJob,
		Demand: "An executor started with its environment connects with its credentials, pulls a job from its mailbox and " +
			"publishes job.started.",
	}}
}

func startJob(ctx context.Context, s *stage) (string, error) {
	p, f, err := s.running(ctx)
	if err == nil {
		err = p.ready(ctx)
	}
	if err == nil {
		err = f.started(ctx)
	}
	return "it pulled a job and started it", err
}

// Checks lists all checks in the order in which they are reported.
func Checks() []Check {
	return slices.Concat(
		startChecks(), claimChecks(), healthChecks(), streamChecks(), sealedChecks(), faultChecks(), windowChecks(), closeChecks(),
		stopChecks(), reconnectChecks(), drainChecks(), eventChecks(),
	)
}
