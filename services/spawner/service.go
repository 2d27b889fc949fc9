package spawner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/policy"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/seal"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/pkg/service/core"
	"github.com/dagyo/dagyo/pkg/snapshot"
	"github.com/dagyo/dagyo/pkg/trace"
	"github.com/dagyo/dagyo/services/spawner/backend"
	"github.com/dagyo/dagyo/services/spawner/places"
)

// Name is the service's name.
const Name = "spawner"

// Config is the configuration of the spawner.
type Config struct {
	service.Config
	Limits Limits
	// Queue is the list of NATS URLs for executors.
	Queue string
	// Access holds the paths of the NATS credentials as executors see them.
	Access broker.Access
	// Issue returns the content of a credentials file for an executor. If it is nil, all executors use Access.
	Issue func(executor, mailbox string) ([]byte, error) `json:"-"`
	// Signer names the key with which Issue signs; when it changes, running executors get new credentials. nil if it never
	// does while the service runs.
	Signer func() (string, error) `json:"-"`
	// CA is the certificates of the authorities that executors trust, nil if Access has their file or none is needed.
	CA []byte `json:"-"`
	// Join joins those who share the places for executors; nil if there are no others.
	Join func() *places.Member `json:"-"`
	// MayLead waits until this process may lead; nil if it always may. See service.Service.
	MayLead func(context.Context) (context.Context, func(), error) `json:"-"`
	// NoSets, if not "", says why progdefs of this tenant cannot use sets of variables: others could have made them.
	NoSets string
	// Policy is the installation's admission policy; nil for none.
	Policy *policy.Current
	// ReconcileEvery is the interval between two comparisons of EVENTS with the running executors of the backend.
	ReconcileEvery time.Duration
}

// DefaultConfig returns the documented defaults.
func DefaultConfig() Config {
	return Config{
		Config: service.DefaultConfig(), Limits: DefaultLimits(), ReconcileEvery: 5 * time.Second,
	}
}

// Run runs the service until the context ends. The leader opens the backend, and closes it when it is no longer the
// leader; the executors keep running.
func Run(ctx context.Context, link *broker.Link, open func() (backend.Backend, error), c Config) error {
	w := &wiring{link: link, config: c, refused: make(chan backend.Exit, c.Limits.Executors+1)}
	return service.Run(ctx, link, service.Service[*State]{
		Logic: Logic(),
		New: func(ctx context.Context) (*State, error) {
			stored, err := broker.Catalog(ctx, link.JS)
			if err != nil {
				return nil, err
			}
			if w.secret, err = seal.Load(ctx, link.JS); err != nil {
				return nil, err
			}
			secret, err := snapshot.Store{JS: link.JS}.Secret(ctx, Name)
			s := NewState(c.Limits, stored).WithSecret(secret)
			if c.Join != nil {
				s = s.Sharing()
			}
			return s, err
		},
		Perform: w.perform,
		Asks:    map[string]service.Ask[*State]{contract.AskExecutors: askExecutors, contract.AskUsage: askUsage},
		Count:   count,
		Gauges:  gauges,
		MayLead: c.MayLead,
		BeginLeading: func(context.Context) (func() error, error) {
			b, err := open()
			if err != nil {
				return nil, err
			}
			w.backend = b
			if c.Join == nil {
				return b.Close, nil
			}
			w.member = c.Join()
			return func() error { w.member.Leave(); return b.Close() }, nil
		},
		Lead: []func(context.Context, *service.Runtime[*State]) error{w.reportExits, w.reconcile, w.protect, w.share, w.renew},
	}, c.Config)
}

// Logic is the decision logic of the service.
func Logic() core.Logic[*State] {
	return core.Logic[*State]{
		Name: Name,
		Folds: []contract.Type{
			contract.TypeFlowValidated, contract.TypeFlowPlanned, contract.TypeFlowRejected,
			contract.TypeFlowCompleted, contract.TypeFlowPanic, contract.TypeFlowCancelled,
			contract.TypeFlowCleaned, contract.TypeFlowQueued, contract.TypeFlowSpawned,
			contract.TypeJobStarted, contract.TypeJobDone, contract.TypeJobPanic,
			contract.TypeExecutorStarted, contract.TypeExecutorDraining, contract.TypeExecutorExited,
			contract.TypeProgdefApplied, contract.TypeProgdefRemoved,
		},
		Answers:  []contract.Type{contract.TypeExecutorStarted, contract.TypeExecutorDraining, contract.TypeExecutorExited},
		Evolve:   Evolve,
		Decide:   Decide,
		Open:     Open,
		InFlight: inFlight,
		Snapshot: snapshots(),
	}
}

type wiring struct {
	link    *broker.Link
	backend backend.Backend // the leader's
	member  *places.Member  // the leader's, if places are shared
	config  Config
	secret  seal.Secret // of the edges
	// refused holds executors that can never be started as their progdef requires.
	refused chan backend.Exit
	leaving leaving
}

func (w *wiring) perform(
	ctx context.Context, _ *service.Runtime[*State], e contract.Event,
) (contract.Event, error) {
	switch e.Type {
	case actGiveUp:
		return e, w.backend.GiveUp(ctx, e.Subject)
	case actClaim:
		w.member.Claim(e.With.(places.Claim))
		return e, nil
	}
	switch d := e.Data.(type) {
	case *contract.ExecutorStarted:
		if p, asked := e.With.(progdef.Pinned); asked { // else it runs already
			return e, w.start(ctx, d, p)
		}
	case *contract.ExecutorDraining:
		if e.With == giveUp {
			return e, w.backend.GiveUp(ctx, d.Executor)
		}
		return e, w.backend.Drain(ctx, d.Executor)
	case *contract.FlowSpawned:
		return e, w.post(ctx, e.With.([]contract.Job), e.Trace)
	}
	return e, nil
}

// start starts an executor. An executor that can never start as its progdef requires counts as started and exited at
// once, so that the verdict of its flow contains the reason.
func (w *wiring) start(ctx context.Context, d *contract.ExecutorStarted, p progdef.Pinned) error {
	spec, err := w.admit(d, p)
	if err == nil {
		err = w.backend.Start(ctx, spec)
	}
	var never *backend.StartError
	if !errors.As(err, &never) {
		return err
	}
	exit := backend.Exit{
		Instance: backend.Instance{Executor: d.Executor, Progdef: d.Progdef, Revision: d.Revision},
		Code:     -1, Permanent: true,
		Reason: "cannot be started: " + never.Problem.Message, Detail: never.Problem.String(),
	}
	select {
	case w.refused <- exit:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// admit returns the executor to start, with the operator's variables. If the policy refuses its progdef, which may have
// been published under another policy, the error is a *backend.StartError.
func (w *wiring) admit(d *contract.ExecutorStarted, p progdef.Pinned) (backend.Spec, error) {
	spec := backend.Spec{Executor: d.Executor, Progdef: d.Progdef, Revision: d.Revision, Document: p.Document}
	rules := w.config.Policy.Get()
	if problems := rules.Refuses(p.Document); len(problems) > 0 {
		return spec, &backend.StartError{Problem: problems[0]}
	}
	if w.config.NoSets != "" && len(p.Document.EnvFrom) > 0 {
		return spec, &backend.StartError{Problem: problem.Problem{
			Pointer: "/envFrom", Code: problem.StartRefused, Message: "this tenant has no sets of variables", Hint: w.config.NoSets,
		}}
	}
	vars, from, err := rules.Variables(p.Document, os.ReadFile)
	if err != nil {
		return spec, &backend.StartError{Problem: problem.Problem{
			Code: problem.StartRefused, Message: "cannot read the operator's variables: " + err.Error(),
			Hint: "the operator must correct environment.files in the policy",
		}}
	}
	spec.Document.EnvFrom = slices.Concat(p.Document.EnvFrom, from)
	spec.Secrets = slices.DeleteFunc(slices.Sorted(maps.Keys(vars)), func(name string) bool { return strings.HasPrefix(name, "DAGYO_") })
	maps.Copy(vars, w.environment(d, p))
	spec.Env, spec.CA = vars, w.config.CA
	if w.config.Issue != nil {
		if spec.Credentials, err = w.config.Issue(d.Executor, contract.MailboxConsumer(d.Progdef, d.Revision)); err != nil {
			return spec, fmt.Errorf("issue the credentials of executor %s: %w", d.Executor, err)
		}
	}
	return spec, nil
}

func (w *wiring) environment(d *contract.ExecutorStarted, p progdef.Pinned) map[string]string {
	env := map[string]string{
		contract.EnvQueue:    w.config.Queue,
		contract.EnvJobs:     contract.Mailbox(d.Progdef, d.Revision),
		contract.EnvExecutor: d.Executor,
		contract.EnvSlots:    fmt.Sprint(p.Document.Scaling.JobsPerExecutor),
		contract.EnvGrace:    p.Document.Drain.GracePeriod.String(),
	}
	maps.Copy(env, w.config.Access.Environment())
	return env
}

// postWait bounds putting the jobs of one flow on their mailboxes.
const postWait = 30 * time.Second

// post puts the jobs on their mailboxes, with the tracestate of their flow. A job that is already there is skipped.
func (w *wiring) post(ctx context.Context, jobs []contract.Job, of trace.Context) error {
	ctx, cancel := context.WithTimeout(ctx, postWait)
	defer cancel()
	acks := make([]jetstream.PubAckFuture, 0, len(jobs))
	for _, j := range jobs {
		j, err := w.withKeys(j)
		if err != nil {
			return fmt.Errorf("post job %s: %w", j.Job, err)
		}
		j.TraceState = of.State
		body, err := json.Marshal(j)
		if err != nil {
			return err
		}
		m := &nats.Msg{Subject: contract.JobSubject(j.Progdef, j.Revision, j.Flow, j.Job), Data: body}
		ack, err := w.link.JS.PublishMsgAsync(m, jetstream.WithExpectLastSequencePerSubject(0))
		if err != nil {
			return fmt.Errorf("post job %s: %w", j.Job, err)
		}
		acks = append(acks, ack)
	}
	for i, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			if broker.SaidBefore(err) {
				continue // it is already there
			}
			return fmt.Errorf("post job %s: %w", jobs[i].Job, err)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// withKeys returns a job with the keys of its sealed edges. No event has them.
func (w *wiring) withKeys(j contract.Job) (contract.Job, error) {
	for _, ends := range []*map[string]contract.Address{&j.Inputs, &j.Outputs} {
		out := make(map[string]contract.Address, len(*ends))
		for port, a := range *ends {
			var err error
			if out[port], err = w.secret.Address(a); err != nil {
				return j, err
			}
		}
		*ends = out
	}
	return j, nil
}

// reportExits publishes executor.exited for every exited executor, and then removes it from the backend. A failed
// removal does not block the others.
func (w *wiring) reportExits(ctx context.Context, r *service.Runtime[*State]) error {
	var reporting sync.WaitGroup
	defer reporting.Wait()
	for {
		var exit backend.Exit
		var open bool
		select {
		case exit = <-w.refused:
		case exit, open = <-w.backend.Exits():
			if !open {
				return nil
			}
		case <-ctx.Done():
			return nil
		}
		if w.leaving.begin(exit.Executor) {
			reporting.Go(func() {
				defer w.leaving.end(exit.Executor)
				w.report(ctx, r, exit)
			})
		}
	}
}

// leaving is the executors whose exits are being reported.
type leaving struct {
	mu  sync.Mutex
	ids map[string]bool
}

// begin returns false if the exit is already being reported.
func (l *leaving) begin(executor string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ids[executor] {
		return false
	}
	if l.ids == nil {
		l.ids = make(map[string]bool)
	}
	l.ids[executor] = true
	return true
}

func (l *leaving) end(executor string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.ids, executor)
}

func (l *leaving) has(executor string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ids[executor]
}

// report retries until the exit is stored, because the jobs of the executor would otherwise hang. When the context
// ends, the backend reports the exit again.
func (w *wiring) report(ctx context.Context, r *service.Runtime[*State], exit backend.Exit) {
	exit = w.explained(ctx, r, exit)
	w.insist(ctx, r, exit.Executor, "report", func() error { return r.Publish(ctx, Exited(exit)) })
	w.insist(ctx, r, exit.Executor, "forget", func() error { return w.backend.Forget(ctx, exit.Executor) })
}

// insist retries until do succeeds or the context ends.
func (w *wiring) insist(ctx context.Context, r *service.Runtime[*State], executor, what string, do func() error) {
	for ctx.Err() == nil {
		err := do()
		if err == nil || ctx.Err() != nil {
			return
		}
		r.Log().Warn().Err(err).Str("executor", executor).Msgf("cannot %s the exit of an executor yet; trying again", what)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// Exited returns the event executor.exited of an exit, unless it is already known.
func Exited(x backend.Exit) func(*State) []contract.Event {
	return func(s *State) []contract.Event {
		if s.gone.known[x.Executor] {
			return nil
		}
		return []contract.Event{{
			Type: contract.TypeExecutorExited, Subject: x.Executor,
			Data: &contract.ExecutorExited{
				Executor: x.Executor, Progdef: x.Progdef, Revision: x.Revision,
				Code: x.Code, Signal: x.Signal, Reason: x.Reason, Detail: x.Detail, Permanent: x.Permanent,
			},
		}}
	}
}

// renewEvery is the time after which the credentials of running executors are renewed. They are valid for several times
// as long. If that fails for some, all are renewed again after renewAgain.
const (
	renewEvery = CredentialsTime / 7
	renewAgain = time.Minute
)

// CredentialsTime is how long the credentials of an executor are valid where they can be renewed while it runs.
const CredentialsTime = 7 * 24 * time.Hour

// renew renews the credentials of all executors, at first because the keys may have been replaced.
func (w *wiring) renew(ctx context.Context, r *service.Runtime[*State]) error {
	if w.config.Issue == nil {
		return nil
	}
	look := time.NewTicker(signerEvery)
	defer look.Stop()
	var next time.Time
	signer := ""
	for {
		key, err := w.signer()
		if err == nil && (key != signer || time.Now().After(next)) {
			signer, next = key, time.Now().Add(renewEvery)
			if err = w.renewAll(ctx); err != nil {
				next = time.Now().Add(renewAgain)
			}
		}
		if err != nil && ctx.Err() == nil {
			r.Log().Warn().Err(err).Msg("cannot renew the credentials of executors")
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// signerEvery is the time between two looks at the key that signs credentials.
const signerEvery = 10 * time.Second

func (w *wiring) signer() (string, error) {
	if w.config.Signer == nil {
		return "", nil
	}
	return w.config.Signer()
}

func (w *wiring) renewAll(ctx context.Context) error {
	all, err := w.backend.List(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range all {
		file, err := w.config.Issue(s.Executor, contract.MailboxConsumer(s.Progdef, s.Revision))
		if err == nil {
			err = w.backend.Renew(ctx, s.Executor, file)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// shareAgain is the time after which the arbiter decides again about a tenant that waits.
const shareAgain = time.Second

// share folds how many executors the tenant may have.
func (w *wiring) share(ctx context.Context, r *service.Runtime[*State]) error {
	if w.member == nil {
		return nil
	}
	again := time.NewTicker(shareAgain)
	defer again.Stop()
	for {
		select {
		case g := <-w.member.Granted():
			r.Fold(contract.Event{Type: factPlaces, With: g})
		case <-again.C:
			w.member.Again()
		case <-ctx.Done():
			return nil
		}
	}
}
