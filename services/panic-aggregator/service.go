package aggregator

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/history"
	"github.com/dagyo/dagyo/pkg/metrics"
	"github.com/dagyo/dagyo/pkg/policy"
	"github.com/dagyo/dagyo/pkg/seal"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/pkg/service/core"
	"github.com/dagyo/dagyo/pkg/snapshot"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/pkg/webhook"
	"github.com/dagyo/dagyo/pkg/wire"
	"github.com/dagyo/dagyo/services/panic-aggregator/deliver"
)

// Name is the service's name.
const Name = "panic-aggregator"

// Config is the configuration of the panic-aggregator.
type Config struct {
	service.Config
	Limits Limits
	// Policy is the installation's policy; nil for none.
	Policy *policy.Current
	// Webhooks configures deliveries; Rules and Storage are set here.
	Webhooks deliver.Config
	// LocalWebhooks are addresses that webhooks may have although they are not public, unless the policy lists some.
	LocalWebhooks []string
}

// DefaultConfig returns the documented defaults.
func DefaultConfig() Config {
	return Config{
		Config: service.DefaultConfig(), Limits: DefaultLimits(), Webhooks: deliver.Config{Limits: deliver.DefaultLimits()},
	}
}

// Run runs the service until the context ends.
func Run(ctx context.Context, link *broker.Link, c Config) error {
	w := &wiring{link: link, config: c, writer: history.NewWriter(link)}
	w.index = history.NewIndex(link.JS, w.stored)
	return service.Run(ctx, link, service.Service[*State]{
		Logic: Logic(),
		New: func(ctx context.Context) (_ *State, err error) {
			if w.secret, err = seal.Load(ctx, link.JS); err != nil {
				return nil, err
			}
			if w.hookSecret, err = (snapshot.Store{JS: link.JS}).Secret(ctx, contract.SecretOfWebhooks); err != nil {
				return nil, err
			}
			stored, err := w.openHooks(ctx)
			return NewState(c.Limits).withHooks(stored), err
		},
		Perform: w.perform,
		Asks:    w.asks(),
		Count:   count,
		Trace:   spans,
		Gauges:  w.gauges,
		Observe: []func(context.Context, *service.Runtime[*State]) error{w.followHistory, w.receiveBeats, pulses},
		Lead:    []func(context.Context, *service.Runtime[*State]) error{findGone, w.watchTraffic, w.boundHistory, w.deliver},
	}, c.Config)
}

// Logic is the decision logic of the service.
func Logic() core.Logic[*State] {
	return core.Logic[*State]{
		Name: Name,
		Folds: []contract.Type{
			contract.TypeFlowSubmit, contract.TypeFlowCancel, contract.TypeFlowValidated, contract.TypeFlowRejected,
			contract.TypeFlowPlanned, contract.TypeFlowQueued, contract.TypeFlowSpawned, contract.TypeFlowStalled,
			contract.TypeFlowCompleted, contract.TypeFlowPanic, contract.TypeFlowCancelled,
			contract.TypeFlowCleaned, contract.TypeJobStarted, contract.TypeJobDone, contract.TypeJobPanic,
			contract.TypeExecutorStarted, contract.TypeExecutorDraining, contract.TypeExecutorExited,
			contract.TypeDeadLetter,
			contract.TypeWebhookApply, contract.TypeWebhookRemove, contract.TypeWebhookRotate, contract.TypeWebhookTest,
			contract.TypeWebhookApplied, contract.TypeWebhookRejected, contract.TypeWebhookRemoved, contract.TypeWebhookRotated,
			contract.TypeWebhookTested, contract.TypeWebhookDisabled,
			contract.TypeTick, // without other events, only a tick tells since when this process listens
		},
		Answers: []contract.Type{
			contract.TypeFlowCancel, contract.TypeFlowValidated, contract.TypeFlowRejected,
			contract.TypeFlowPlanned, contract.TypeFlowQueued, contract.TypeFlowSpawned, contract.TypeFlowStalled,
			contract.TypeFlowCompleted, contract.TypeFlowPanic, contract.TypeFlowCancelled,
			contract.TypeFlowCleaned, contract.TypeJobStarted, contract.TypeJobDone, contract.TypeJobPanic,
			contract.TypeWebhookApply, contract.TypeWebhookRemove, contract.TypeWebhookRotate, contract.TypeWebhookTest,
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
	index  *history.Index
	writer *history.Writer
	// runtime is set before any method of the wiring is called.
	runtime atomic.Pointer[service.Runtime[*State]]
	ears    atomic.Pointer[[]*ear]
	// Of webhooks: the secret of their keys, the bucket that holds them, and what delivers while this replica leads.
	hookSecret webhook.Secret
	bucket     jetstream.KeyValue
	delivering atomic.Pointer[deliver.Deliverer]
}

// An ear is a subscription to heartbeats.
type ear struct {
	sub     *nats.Subscription
	handled atomic.Int64
}

func newEar(link *broker.Link, subject string, take func(*nats.Msg)) (x *ear, err error) {
	x = new(ear)
	x.sub, err = link.Subscribe(subject, func(m *nats.Msg) {
		defer x.handled.Add(1)
		take(m)
	})
	return x, err
}

func (w *wiring) perform(
	ctx context.Context, r *service.Runtime[*State], e contract.Event,
) (contract.Event, error) {
	switch e.Type {
	case actStop, actStopLast:
		return e, w.stop(ctx, e.With.(string))
	case actReport:
		return e, w.report(ctx, e.Data.(*Report), e.With.(contract.Address))
	case actListen:
		return w.listen(ctx, r, e)
	case actStore:
		return e, w.store(ctx, e.With.(batch))
	case contract.TypeFlowStalled:
		return w.describe(ctx, r, e), nil
	case contract.TypeWebhookApplied, contract.TypeWebhookRotated:
		return w.keyed(e)
	}
	return e, nil
}

// gauges observes the state, and the size of history.
func (w *wiring) gauges(s *State, _ time.Time, observe metrics.Observe) {
	s.gauges(observe)
	observe(metrics.HistoryFlows, float64(w.index.Flows()))
	w.hookGauges(s, observe)
}

// store stores flows in history. It is not an error if another leader has stored them.
func (w *wiring) store(ctx context.Context, b batch) error {
	err := w.writer.Append(ctx, b.statuses, b.upto)
	if errors.Is(err, history.ErrSuperseded) {
		return nil
	}
	return err
}

// stored folds which flows are in history.
func (w *wiring) stored(upto uint64) {
	w.runtime.Load().Fold(contract.Event{Type: factStored, With: upto})
}

func (w *wiring) followHistory(ctx context.Context, r *service.Runtime[*State]) error {
	w.runtime.Store(r)
	return w.index.Run(ctx)
}

// boundEvery is the time between two checks of the size of history.
const boundEvery = 10 * time.Second

func (w *wiring) boundHistory(ctx context.Context, r *service.Runtime[*State]) error {
	if w.config.History.MaxFlows < 0 {
		return nil
	}
	service.Every(ctx, boundEvery, func() {
		if err := w.index.Trim(ctx, w.config.History.MaxFlows); err != nil && ctx.Err() == nil {
			r.Log().Warn().Err(err).Msg("cannot trim history; retrying")
		}
	})
	return nil
}

// report writes a job's panic to its wired edge.
func (w *wiring) report(ctx context.Context, d *Report, to contract.Address) error {
	record, err := d.record()
	if err != nil {
		return err
	}
	var records [][]byte
	if record != nil {
		records = append(records, record)
	}
	if to, err = w.secret.Address(to); err != nil {
		return err
	}
	if err := stream.Fill(ctx, w.link.JS, to, records...); !errors.Is(err, stream.ErrGone) {
		return err
	}
	return nil
}

// stop publishes a stop. It is stored with the flow's edges, where a job that starts later finds it. If the stream was
// deleted, its absence stops the jobs.
func (w *wiring) stop(ctx context.Context, subject string) error {
	_, err := w.link.JS.Publish(ctx, subject, nil)
	if errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders) {
		return nil
	}
	return err
}

// receiveBeats folds every heartbeat, of jobs and of clients.
func (w *wiring) receiveBeats(ctx context.Context, r *service.Runtime[*State]) error {
	job := func(m *nats.Msg) {
		if b, ok := readBeat(m); ok {
			r.Fold(contract.Event{Type: factBeat, With: b})
		}
	}
	client := func(m *nats.Msg) {
		if b, ok := readClientBeat(m); ok {
			r.Fold(contract.Event{Type: factClient, With: b})
		}
	}
	var ears []*ear
	var err error
	for _, x := range []struct {
		subject string
		take    func(*nats.Msg)
	}{
		{contract.FromAny(contract.HealthSubjects), job}, {contract.HealthSubjects, job},
		{contract.FromAny(contract.ClientSubjects), client}, {contract.ClientSubjects, client},
	} {
		var listening *ear
		if listening, err = newEar(r.Link(), x.subject, x.take); err != nil {
			break
		}
		ears = append(ears, listening)
	}
	if err == nil {
		w.ears.Store(&ears)
		r.Fold(contract.Event{Type: factListening})
		askSince(ctx, r)
		<-ctx.Done()
	}
	for _, x := range ears {
		err = errors.Join(err, x.sub.Unsubscribe())
	}
	return err
}

// askSince asks for the broker's time once this process listens: without events the time would stay unknown, and no
// job would ever count as silent.
func askSince(ctx context.Context, r *service.Runtime[*State]) {
	for {
		asking, cancel := context.WithTimeout(ctx, listenWait)
		err := r.Sync(asking)
		cancel()
		if err == nil || ctx.Err() != nil {
			return
		}
		r.Log().Warn().Err(err).Msg("cannot get the broker's time; retrying")
		select {
		case <-time.After(pulseEvery):
		case <-ctx.Done():
		}
	}
}

// pulseEvery is the time between two checks for silent jobs.
const pulseEvery = 500 * time.Millisecond

func pulses(ctx context.Context, r *service.Runtime[*State]) error {
	service.Every(ctx, pulseEvery, func() { r.Fold(contract.Event{Type: factPulse}) })
	return nil
}

// listenWait bounds the wait for received heartbeats that are not folded yet.
const listenWait = 5 * time.Second

// listen returns when all heartbeats that the broker had at the call are folded. It returns the time of the call
// and, in With, how long it took.
func (w *wiring) listen(
	ctx context.Context, r *service.Runtime[*State], e contract.Event,
) (contract.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, listenWait)
	defer cancel()
	began := time.Now()
	if err := r.Sync(ctx); err != nil { // earlier messages of the broker arrive before its answer
		return e, err
	}
	e.Time = r.KnownUntil()
	err := w.drained(ctx)
	e.With = time.Since(began)
	return e, err
}

// drained returns when the received heartbeats are folded.
func (w *wiring) drained(ctx context.Context) error {
	ears := w.ears.Load()
	if ears == nil {
		return errors.New("received heartbeats are not folded yet")
	}
	for _, x := range *ears {
		if err := x.drained(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (x *ear) drained(ctx context.Context) error {
	arrived, err := arrivals(x.sub)
	for err == nil && x.handled.Load() < arrived {
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

// arrivals counts the messages that have arrived on a subscription.
func arrivals(sub *nats.Subscription) (int64, error) {
	waiting, _, err := sub.Pending()
	if err != nil {
		return 0, err
	}
	delivered, err := sub.Delivered()
	if err != nil {
		return 0, err
	}
	return delivered + int64(waiting), nil
}

// beatSubject splits the subject of a heartbeat. ok is false if the flow or the sender has no valid name.
func beatSubject(subject string) (sender contract.Sender, tokens []string, ok bool) {
	sender, plain := contract.SplitSender(subject)
	tokens = strings.SplitN(plain, ".", 4)
	return sender, tokens, len(tokens) == 3 && document.ValidName(tokens[1]) && (sender.Name == "" || document.ValidName(sender.Name))
}

// readBeat decodes a heartbeat. An invalid message is ignored.
func readBeat(m *nats.Msg) (Beat, bool) {
	sender, tokens, ok := beatSubject(m.Subject)
	if !ok || !document.ValidName(tokens[2]) {
		return Beat{}, false
	}
	lasts, absolute, err := wire.ParseBeat(m.Data)
	if absolute { // previous version: an absolute time, by the clock of another machine
		lasts = 0
	}
	return Beat{Flow: tokens[1], Job: tokens[2], By: sender.Name, For: lasts}, err == nil
}

// readClientBeat decodes a heartbeat of a client. Without data, the flow no longer depends on the client.
func readClientBeat(m *nats.Msg) (ClientBeat, bool) {
	sender, tokens, ok := beatSubject(m.Subject)
	if !ok || len(tokens[2]) > clientNameMost {
		return ClientBeat{}, false
	}
	b := ClientBeat{Flow: tokens[1], Client: tokens[2], By: sender.Name, Released: len(m.Data) == 0}
	if b.Released {
		return b, true
	}
	lasts, absolute, err := wire.ParseBeat(m.Data)
	b.For = lasts
	return b, err == nil && !absolute
}

const (
	goneEvery = 500 * time.Millisecond
	// goneBatch bounds the look-ups of one round, to limit the load on the broker.
	goneBatch = 100
)

// findGone finds jobs that left their mailbox and were not started: their executor exited between claiming the job
// and publishing job.started.
func findGone(ctx context.Context, r *service.Runtime[*State]) error {
	service.Every(ctx, goneEvery, func() {
		if err := lookForGone(ctx, r); err != nil && ctx.Err() == nil {
			r.Log().Debug().Err(err).Msg("cannot read the mailboxes")
		}
	})
	return nil
}

func lookForGone(ctx context.Context, r *service.Runtime[*State]) error {
	var waiting []waitingJob
	var checked int
	now := r.EstimatedTime()
	r.Read(func(s *State) { waiting, checked = s.longWaiting(goneBatch, now) })
	if len(waiting) > 0 {
		jobs, err := r.Link().JS.Stream(ctx, contract.StreamJobs)
		if err != nil {
			return err
		}
		for _, w := range waiting {
			_, err := jobs.GetLastMsgForSubject(ctx, w.subject)
			switch {
			case errors.Is(err, jetstream.ErrMsgNotFound):
				r.Fold(contract.Event{Type: factGone, With: w.Gone})
			case err != nil:
				return err
			}
		}
	}
	if checked > 0 {
		r.Fold(contract.Event{Type: factChecked, With: checked})
	}
	return nil
}
