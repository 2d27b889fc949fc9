package planner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/seal"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/pkg/service/core"
)

// Name is the service's name.
const Name = "planner"

// Config is the planner's configuration.
type Config struct {
	service.Config
	Limits Limits
	// EdgeStorage is where frames without a reader are stored: in files or in memory (ADR 10).
	EdgeStorage jetstream.StorageType
	// EdgeStreams is the number of streams that store edges (ADR 19). It may change on restart.
	EdgeStreams int
	// SweepEvery is the interval between two searches for what belongs to no live flow.
	SweepEvery time.Duration
}

// DefaultConfig returns the documented defaults.
func DefaultConfig() Config {
	return Config{
		Config: service.DefaultConfig(), Limits: DefaultLimits(),
		EdgeStorage: jetstream.MemoryStorage, EdgeStreams: 4, SweepEvery: 30 * time.Second,
	}
}

// Run serves until the context ends.
func Run(ctx context.Context, link *broker.Link, c Config) error {
	w := &wiring{link: link, config: c, mailboxes: make(map[string]bool), oddFrom: make(map[string]uint64)}
	return service.Run(ctx, link, service.Service[*State]{
		Logic: Logic(),
		New: func(ctx context.Context) (_ *State, err error) {
			w.secret, err = seal.Load(ctx, link.JS)
			return NewState(c.Limits), err
		},
		Perform: w.perform,
		Asks:    map[string]service.Ask[*State]{contract.AskFlowKeys: w.askKeys},
		Observe: []func(context.Context, *service.Runtime[*State]) error{w.heedReleases},
		Lead:    []func(context.Context, *service.Runtime[*State]) error{w.tend, w.trim},
	}, c.Config)
}

// Logic is the service's decision logic.
func Logic() core.Logic[*State] {
	return core.Logic[*State]{
		Name: Name,
		Folds: []contract.Type{
			contract.TypeFlowValidated, contract.TypeFlowRejected, contract.TypeFlowPlanned,
			contract.TypeFlowCompleted, contract.TypeFlowPanic, contract.TypeFlowCancelled,
			contract.TypeFlowCleaned, contract.TypeExecutorStarted, contract.TypeExecutorExited,
		},
		Evolve:   Evolve,
		Decide:   Decide,
		Open:     Open,
		Snapshot: snapshots(),
	}
}

type wiring struct {
	link   *broker.Link
	config Config
	secret seal.Secret // of the edges

	// mu is held while a mailbox is created or deleted: nats-server can hang if both happen at once.
	mu        sync.Mutex
	mailboxes map[string]bool // known to exist

	// shards are where edges of new flows are stored. shardsSeen is the number, from 1, of the connection on which
	// they were last checked.
	shards     []string
	shardsSeen uint64
	streams    sync.Map // handles, by name
	// oddFrom is the sequence up to which a stream was searched for odd subjects. Only the sweep uses it.
	oddFrom map[string]uint64
	runtime *service.Runtime[*State]
}

func (w *wiring) perform(
	ctx context.Context, _ *service.Runtime[*State], effect contract.Event,
) (contract.Event, error) {
	switch effect.Type {
	case actStop:
		return effect, w.stop(ctx, effect.With.(string), effect.Subject)
	case actMailbox:
		return effect, w.ensureMailbox(ctx, effect.Subject)
	}
	switch d := effect.Data.(type) {
	case *contract.FlowPlanned:
		return effect, w.provision(ctx, d, effect.With.(flow.Flow))
	case *contract.FlowCleaned:
		return effect, w.release(ctx, effect.Subject, d, effect.With.(ending))
	default:
		return effect, nil
	}
}

// provision creates what the plan contains: storage for the edges, the constants in it, the mailboxes.
func (w *wiring) provision(ctx context.Context, p *contract.FlowPlanned, f flow.Flow) error {
	if p.Stream == "" {
		return nil
	}
	if err := w.ensureShards(ctx); err != nil {
		return err
	}
	if err := w.begin(ctx, p); err != nil {
		return err
	}
	if err := w.writeConstants(ctx, p, f); err != nil {
		return err
	}
	for name, pinned := range p.Progdefs {
		if err := w.ensureMailbox(ctx, contract.Mailbox(name, pinned.Revision)); err != nil {
			return err
		}
	}
	return nil
}

// brokerError distinguishes a lasting failure of the broker from a transient one.
func brokerError(what string, err error) error {
	var api *jetstream.APIError
	if errors.As(err, &api) && api.Code >= 400 && api.Code < 503 && api.Code != 408 && api.Code != 429 {
		return &problem.Permanent{Problem: problem.Problem{
			Code:    problem.BrokerRefused,
			Message: fmt.Sprintf("the broker refused to %s: %s", what, api.Description),
		}}
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (w *wiring) ensureMailbox(ctx context.Context, name string) error {
	progdef, revision := contract.SplitMailbox(name)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mailboxes[name] {
		return nil
	}
	if _, err := broker.EnsureMailbox(ctx, w.link.JS, progdef, revision); err != nil {
		return brokerError("create the mailbox "+name, err)
	}
	w.mailboxes[name] = true
	return nil
}

// An ending is what the clean-up of a flow depends on.
type ending struct {
	age time.Duration
	// mayRun is true if a job may still be running. It is stopped first: the stop sent for the verdict may
	// have preceded the plan.
	mayRun bool
}

// release deletes what the flow has on the broker.
func (w *wiring) release(ctx context.Context, id string, d *contract.FlowCleaned, e ending) error {
	if e.mayRun {
		if err := w.stop(ctx, d.Stream, id); err != nil {
			return err
		}
	}
	if err := w.deleteEdges(ctx, d.Stream, id, e.age); err != nil {
		return fmt.Errorf("delete the edges of flow %s: %w", id, err)
	}
	if len(d.Mailboxes) == 0 {
		return nil
	}
	return w.purgeJobs(ctx, id)
}

func (w *wiring) deleteEdges(ctx context.Context, name, id string, age time.Duration) error {
	switch name {
	case "":
		return nil
	case contract.OldFlowStream(id):
		return w.deleteStream(ctx, name)
	}
	return w.purgeFlow(ctx, name, id, age)
}

// stop stops the jobs of a flow. It returns when the stops are stored, so that a purge that follows deletes them. A
// stream that is full stores none, but running executors receive them.
func (w *wiring) stop(ctx context.Context, name, id string) error {
	for _, subject := range contract.StopSubjects(name, id) {
		_, err := w.link.JS.Publish(ctx, subject, nil, jetstream.WithRetryAttempts(0))
		if err != nil && !errors.Is(err, jetstream.ErrNoStreamResponse) && !broker.Full(err) {
			return fmt.Errorf("stop the jobs of flow %s: %w", id, err)
		}
	}
	return nil
}

func (w *wiring) purgeJobs(ctx context.Context, id string) error {
	jobs, err := w.stream(ctx, contract.StreamJobs)
	if err == nil {
		err = jobs.Purge(ctx, jetstream.WithPurgeSubject(contract.FlowJobSubjects(id)))
	}
	if err != nil {
		return fmt.Errorf("purge jobs of flow %s: %w", id, err)
	}
	return nil
}
