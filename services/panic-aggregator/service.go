package aggregator

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/pkg/stream"
)

// Name is the service's name.
const Name = "panic-aggregator"

// Config is how the panic-aggregator runs.
type Config struct {
	service.Config
	Limits Limits
}

// DefaultConfig returns the documented defaults.
func DefaultConfig() Config {
	return Config{Config: service.DefaultConfig(), Limits: DefaultLimits()}
}

// Run serves until the context ends.
func Run(ctx context.Context, link *broker.Link, c Config) error {
	w := wiring{link: link}
	return service.Run(ctx, link, service.Service[State]{
		Name: Name,
		Causes: []contract.Type{
			contract.TypeFlowValidated, contract.TypeFlowSpawned, contract.TypeFlowCancel,
			contract.TypeJobDone, contract.TypeJobPanic, contract.TypeExecutorExited,
		},
		Folds: []contract.Type{
			contract.TypeFlowPlanned, contract.TypeFlowRejected, contract.TypeJobStarted,
			contract.TypeFlowCompleted, contract.TypeFlowPanic, contract.TypeFlowCancelled,
			contract.TypeExecutorDraining,
		},
		Reads:   shown(),
		New:     func(context.Context, *broker.Link) (State, error) { return NewState(c.Limits), nil },
		Evolve:  Evolve,
		Decide:  Decide,
		Perform: w.perform,
		Tick:    c.Limits.Tick,
		Listen:  []func(context.Context, *service.Runtime[State]) error{hearBeats},
		Lead:    []func(context.Context, *service.Runtime[State]) error{findGone, keepStatus},
	}, c.Config)
}

type wiring struct{ link *broker.Link }

func (w wiring) perform(ctx context.Context, e contract.Event) error {
	switch e.Type {
	case actStop:
		return w.stop(ctx, contract.StopSubject(e.Subject))
	case actStopLast:
		return w.stop(ctx, contract.LastStopSubject(e.Subject))
	case actReport:
		return w.report(ctx, e.Data.(*Report), e.With.(contract.Address))
	}
	return nil
}

// report writes what is wired to a job's panic.
func (w wiring) report(ctx context.Context, d *Report, to contract.Address) error {
	record, err := d.record()
	if err != nil {
		return err
	}
	var records [][]byte
	if record != nil {
		records = append(records, record)
	}
	if err := stream.Fill(ctx, w.link.JS, to, records...); !errors.Is(err, stream.ErrGone) {
		return err
	}
	return nil
}

// stop sends a stop. It is stored in the flow's stream, where a job that starts later finds it; a flow
// without a stream has no job to stop.
func (w wiring) stop(ctx context.Context, subject string) error {
	_, err := w.link.JS.Publish(ctx, subject, nil)
	if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) {
		return nil
	}
	return err
}

// hearBeats folds every sign of life.
func hearBeats(ctx context.Context, r *service.Runtime[State]) error {
	sub, err := r.Link().Subscribe(contract.HealthSubjects, func(m *nats.Msg) {
		if b, ok := readBeat(m); ok {
			r.Fold(contract.Event{Type: factBeat, Data: &b})
		}
	})
	if err != nil {
		return err
	}
	<-ctx.Done()
	return sub.Unsubscribe()
}

func readBeat(m *nats.Msg) (Beat, bool) {
	tokens := strings.Split(m.Subject, ".")
	ms, err := strconv.ParseInt(string(m.Data), 10, 64)
	if err != nil || len(tokens) != 3 {
		return Beat{}, false // not a beat: the job stays as dead as it was
	}
	return Beat{Flow: tokens[1], Job: tokens[2], Until: time.UnixMilli(ms)}, true
}

const (
	goneEvery = 500 * time.Millisecond
	// goneBatch bounds the look-ups of one round: the broker is not to be polled hard.
	goneBatch = 100
)

// findGone looks for jobs that have left their mailbox without having been started: their executor
// died between claiming and saying so.
func findGone(ctx context.Context, r *service.Runtime[State]) error {
	service.Every(ctx, goneEvery, func() {
		if err := lookForGone(ctx, r); err != nil && ctx.Err() == nil {
			r.Log().Debug().Err(err).Msg("cannot look into the mailboxes")
		}
	})
	return nil
}

func lookForGone(ctx context.Context, r *service.Runtime[State]) error {
	var waiting []waitingJob
	if !r.Read(func(s State) { waiting = s.longWaiting(goneBatch) }) || len(waiting) == 0 {
		return nil
	}
	jobs, err := r.Link().JS.Stream(ctx, contract.StreamJobs)
	if err != nil {
		return err
	}
	for _, w := range waiting {
		_, err := jobs.GetLastMsgForSubject(ctx, w.subject)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			r.Fold(contract.Event{Type: factGone, Data: &w.Gone})
		case err != nil:
			return err
		}
	}
	return nil
}

type waitingJob struct {
	Gone
	subject string
}

// longWaiting returns up to limit jobs that have waited for a claim for longer than a beat.
func (s State) longWaiting(limit int) []waitingJob {
	var out []waitingJob
	for flow, r := range s.runs {
		if !r.spawned || s.now.IsZero() {
			continue
		}
		for name, j := range r.jobs {
			if j.State != contract.JobWaiting || !j.gone.IsZero() || s.now.Sub(r.waiting) < j.health.Interval.D() {
				continue
			}
			subject := contract.JobSubject(j.progdef, j.revision, flow, name)
			if out = append(out, waitingJob{Gone{flow, name}, subject}); len(out) == limit {
				return out
			}
		}
	}
	return out
}
