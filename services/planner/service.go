package planner

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/flow"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/pkg/stream"
)

// Name is the service's name.
const Name = "planner"

// Config is how the planner runs.
type Config struct {
	service.Config
	Limits Limits
	// EdgeStorage keeps in files or in memory what no reader is there for (ADR 10).
	EdgeStorage jetstream.StorageType
	// SweepEvery is the time between two searches for what belongs to no living flow.
	SweepEvery time.Duration
}

// DefaultConfig returns the documented defaults.
func DefaultConfig() Config {
	return Config{
		Config: service.DefaultConfig(), Limits: DefaultLimits(),
		EdgeStorage: jetstream.MemoryStorage, SweepEvery: 30 * time.Second,
	}
}

// Run serves until the context ends.
func Run(ctx context.Context, link *broker.Link, c Config) error {
	w := &wiring{link: link, config: c, mailboxes: make(map[string]bool)}
	s := Decisions()
	s.New = func(context.Context, *broker.Link) (*State, error) { return NewState(c.Limits), nil }
	s.Perform = w.perform
	s.Listen = []func(context.Context, *service.Runtime[*State]) error{hearReleases}
	s.Lead = []func(context.Context, *service.Runtime[*State]) error{w.sweep, w.trim}
	return service.Run(ctx, link, s, c.Config)
}

// Decisions is the service without its I/O.
func Decisions() service.Service[*State] {
	return service.Service[*State]{
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

	// mu is held while a mailbox is made or removed: nats-server can wedge where both happen at once.
	mu        sync.Mutex
	mailboxes map[string]bool // known to exist
}

func (w *wiring) perform(
	ctx context.Context, _ service.Host[*State], effect contract.Event,
) (contract.Event, error) {
	if effect.Type == actStop {
		return effect, w.stop(effect.Subject)
	}
	switch d := effect.Data.(type) {
	case *contract.FlowPlanned:
		return effect, w.provision(ctx, effect.Subject, d, effect.With.(flow.Flow))
	case *contract.FlowCleaned:
		completed, _ := effect.With.(bool)
		return effect, w.release(ctx, effect.Subject, d, !completed)
	default:
		return effect, nil
	}
}

// provision makes what the plan promises: the stream, the constants in it, the mailboxes.
func (w *wiring) provision(ctx context.Context, id string, p *contract.FlowPlanned, f flow.Flow) error {
	if p.Stream == "" {
		return nil
	}
	cfg := stream.StreamConfig(id, w.config.EdgeStorage, w.config.Limits.Frames)
	if err := w.makeStream(ctx, cfg); err != nil {
		return brokerError("make the flow's stream", err)
	}
	if err := w.writeConstants(ctx, id, f); err != nil {
		return err
	}
	for name, pinned := range p.Progdefs {
		if err := w.ensureMailbox(ctx, name, pinned.Revision); err != nil {
			return err
		}
	}
	return nil
}

// makeStream makes a stream that is hardly ever there already.
func (w *wiring) makeStream(ctx context.Context, cfg jetstream.StreamConfig) error {
	_, err := w.link.JS.CreateStream(ctx, cfg)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // in another form
		_, err = w.link.JS.UpdateStream(ctx, cfg)
	}
	return err
}

// brokerError tells a broker that cannot from one that cannot now.
func brokerError(what string, err error) error {
	var api *jetstream.APIError
	if errors.As(err, &api) && api.Code >= 400 && api.Code < 503 && api.Code != 408 && api.Code != 429 {
		return &service.Permanent{Problem: problem.Problem{
			Code:    problem.BrokerRefused,
			Message: fmt.Sprintf("the broker refused to %s: %s", what, api.Description),
		}}
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (w *wiring) ensureMailbox(ctx context.Context, progdef, revision string) error {
	name := contract.Mailbox(progdef, revision)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mailboxes[name] {
		return nil
	}
	if _, err := broker.EnsureMailbox(ctx, w.link.JS, progdef, revision); err != nil {
		return brokerError("make the mailbox "+name, err)
	}
	w.mailboxes[name] = true
	return nil
}

// release deletes what the flow had. Where a job may still run it is told to stop first: the stop that
// was sent for the verdict may have come before there was a stream to keep it.
func (w *wiring) release(ctx context.Context, id string, d *contract.FlowCleaned, mayRun bool) error {
	if d.Stream != "" {
		if mayRun {
			if err := w.stop(id); err != nil {
				return err
			}
		}
		err := w.link.JS.DeleteStream(ctx, d.Stream)
		if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("delete stream %s: %w", d.Stream, err)
		}
	}
	if len(d.Mailboxes) == 0 {
		return nil
	}
	return w.purgeJobs(ctx, id)
}

func (w *wiring) stop(id string) error {
	for _, subject := range []string{contract.StopSubject(id), contract.LastStopSubject(id)} {
		if err := w.link.Publish(subject, nil); err != nil {
			return fmt.Errorf("stop the jobs of flow %s: %w", id, err)
		}
	}
	return nil
}

func (w *wiring) purgeJobs(ctx context.Context, id string) error {
	jobs, err := w.link.JS.Stream(ctx, contract.StreamJobs)
	if err == nil {
		err = jobs.Purge(ctx, jetstream.WithPurgeSubject(contract.FlowJobSubjects(id)))
	}
	if err != nil {
		return fmt.Errorf("purge jobs of flow %s: %w", id, err)
	}
	return nil
}

func hearReleases(ctx context.Context, r *service.Runtime[*State]) error {
	sub, err := r.Link().Subscribe(contract.ReleaseSubjects, func(m *nats.Msg) {
		id := strings.TrimPrefix(m.Subject, contract.ReleaseSubject(""))
		r.Fold(contract.Event{Type: FactReleased, Subject: id})
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return sub.Unsubscribe()
}
