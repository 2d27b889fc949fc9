package validator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/history"
	"github.com/dagyo/dagyo/pkg/policy"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/pkg/service/core"
)

// Name is the service's name.
const Name = "validator"

// Config is the validator's configuration.
type Config struct {
	service.Config
	Limits Limits
	// Policy is the installation's admission policy; nil for none.
	Policy *policy.Current
}

// DefaultConfig returns the documented defaults.
func DefaultConfig() Config {
	return Config{Config: service.DefaultConfig(), Limits: DefaultLimits()}
}

// Run serves until the context ends.
func Run(ctx context.Context, link *broker.Link, c Config) error {
	w := &wiring{link: link, policy: c.Policy}
	w.past = history.NewLookup(link.JS, w.stored)
	return service.Run(ctx, link, service.Service[*State]{
		Logic: Logic(),
		New: func(ctx context.Context) (*State, error) {
			stored, err := broker.Catalog(ctx, link.JS)
			if err != nil {
				return nil, err
			}
			types, err := broker.Types(ctx, link.JS, c.Broker)
			return NewState(c.Limits, stored).WithTypes(types).WithPolicy(c.Policy.Get()), err
		},
		Perform: w.perform,
		Observe: []func(context.Context, *service.Runtime[*State]) error{w.followHistory, w.followPolicy},
		Asks:    asks(),
	}, c.Config)
}

// Logic is the service's decision logic.
func Logic() core.Logic[*State] {
	commands := []contract.Type{
		contract.TypeFlowSubmit, contract.TypeProgdefApply, contract.TypeProgdefRemove,
		contract.TypeTypeApply,
	}
	return core.Logic[*State]{
		Name: Name,
		Folds: append(slices.Clone(commands),
			contract.TypeFlowValidated, contract.TypeFlowRejected, contract.TypeFlowCleaned,
			contract.TypeProgdefApplied, contract.TypeProgdefRejected, contract.TypeProgdefRemoved,
			contract.TypeTypeApplied, contract.TypeTypeRejected, contract.TypeDeadLetter,
		),
		Answers:  commands,
		Evolve:   Evolve,
		Decide:   Decide,
		Open:     Open,
		Snapshot: snapshots(),
	}
}

type wiring struct {
	link   *broker.Link
	policy *policy.Current
	// past indexes the flows in history: their ids are taken.
	past *history.Index
	// runtime is set before past reports anything.
	runtime *service.Runtime[*State]
}

// followHistory keeps the index of history.
func (w *wiring) followHistory(ctx context.Context, r *service.Runtime[*State]) error {
	w.runtime = r
	return w.past.Run(ctx)
}

// followPolicy folds the policy whenever it changes.
func (w *wiring) followPolicy(ctx context.Context, r *service.Runtime[*State]) error {
	return w.policy.Follow(ctx, func(p *policy.Policy) {
		r.Fold(contract.Event{Type: factPolicy, With: p})
		if p != nil {
			r.Log().Info().Msg("the policy is in force")
		}
	})
}

// stored folds the flows that are in history.
func (w *wiring) stored(upto uint64) {
	w.runtime.Fold(contract.Event{Type: factStored, With: upto})
}

func (w *wiring) perform(
	ctx context.Context, r *service.Runtime[*State], effect contract.Event,
) (contract.Event, error) {
	effect, err := judge(ctx, r, effect, w.used)
	if err != nil {
		return effect, err
	}
	return effect, storeCatalog(ctx, w.link.JS, effect)
}

// used returns the entry of an id in history, or nil if there is none. A rejected submission may be corrected and
// submitted again.
func (w *wiring) used(ctx context.Context, id string) (*taken, error) {
	select {
	case <-w.past.Loaded():
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	status, found, err := w.past.Get(ctx, id)
	switch {
	case err != nil || !found || status.Phase == contract.TypeFlowRejected:
		return nil, err
	case status.Document == "": // stored by the previous version, so unknown
		return nil, core.ErrTaken
	}
	return &taken{Document: status.Document, Owner: status.Owner}, nil
}

// An Events gives access to what is needed to judge a submission: the state, and the submission's document.
type Events interface {
	// Read calls f with the state; f must neither change nor retain it.
	Read(f func(*State))
	// Message reads a message of EVENTS. It returns nil if EVENTS no longer has it.
	Message(ctx context.Context, seq uint64) (*event.Stored, error)
}

// Judge replaces the effect of a submission by its answer, as if history were empty. Other effects it returns as they
// are.
func Judge(ctx context.Context, r Events, effect contract.Event) (contract.Event, error) {
	return judge(ctx, r, effect, func(context.Context, string) (*taken, error) { return nil, nil })
}

// A lookup returns what history has of an id, nil if it has nothing.
type lookup func(ctx context.Context, id string) (*taken, error)

// judge is Judge with a history.
func judge(ctx context.Context, r Events, effect contract.Event, past lookup) (answer contract.Event, err error) {
	c, ok, err := submission(ctx, r, effect)
	if err != nil || !ok {
		return effect, err
	}
	owner, err := ownerOf(ctx, r, c.Subject, past)
	switch {
	case err != nil && len(c.Problems) > 0:
		return deadLetter(c, c.Problems), nil // the id may be that of a flow that has ended
	case err != nil:
		return effect, err
	}
	r.Read(func(s *State) { answer = s.answerSubmission(c, owner) })
	return answer, nil
}

// submission returns the submission that an effect is to answer, with its document. The core rejects those that it
// cannot decode, and gives up others; whether that may be the answer is judged here, too.
func submission(ctx context.Context, r Events, effect contract.Event) (c command, ok bool, err error) {
	if d, rejected := effect.Data.(*contract.FlowRejected); rejected {
		return command{
			Seq: effect.Cause, Type: contract.TypeFlowSubmit, Subject: effect.Subject, Trace: effect.Trace,
			Problems: d.Problems,
		}, true, nil
	}
	if c, ok = effect.With.(command); !ok || c.Raw != nil {
		return c, ok, nil
	}
	m, err := r.Message(ctx, c.Seq)
	switch {
	case err != nil:
		return c, ok, err
	case m == nil:
		c.Problems = problem.List{{
			Code: problem.GaveUp, Message: "the submission is no longer stored: there were too many to answer it in time",
			Hint: "submit it again",
		}}
	default:
		c.Raw, c.Problems = m.Event.Raw, m.Problems
	}
	return c, ok, nil
}

// ownerOf returns what has taken an id, nil if it is free. The state is read before history: it forgets a flow once
// history has it.
func ownerOf(ctx context.Context, r Events, id string, past lookup) (owner *taken, err error) {
	r.Read(func(s *State) {
		if t, known := s.flows[id]; known {
			owner = &t
		}
	})
	if owner != nil {
		return owner, nil
	}
	return past(ctx, id)
}

// storeCatalog writes the change of a catalogue, unless a later change is already stored. That of progdefs is written
// once its answer is stored, since another leader could answer differently; that of types before.
func storeCatalog(ctx context.Context, js jetstream.JetStream, effect contract.Event) error {
	if entry, ok := effect.With.(contract.CatalogEntry); ok {
		return store(ctx, js, contract.BucketProgdefs, effect.Subject, entry.Seq, entry)
	}
	if d, ok := effect.Data.(*contract.TypeApplied); ok {
		return store(ctx, js, contract.BucketTypes, contract.TypeKey(d.Name), effect.Cause,
			contract.TypeEntry{Seq: effect.Cause, Document: d.Document})
	}
	return nil
}

// store stores an entry under its key, unless the bucket has the entry of a later change.
func store(
	ctx context.Context, js jetstream.JetStream, bucket, key string, seq uint64, entry any,
) error {
	body, err := json.Marshal(entry)
	if err != nil {
		return err
	}
	kv, err := js.KeyValue(ctx, bucket)
	if err != nil {
		return fmt.Errorf("open bucket %s: %w", bucket, err)
	}
	for {
		revision, newest, err := storedSeq(ctx, kv, key)
		if err != nil || newest >= seq {
			return err
		}
		_, err = kv.Update(ctx, key, body, revision)
		if !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			return err
		}
	}
}

// storedSeq returns the bucket's revision of a key, and the change that it contains.
func storedSeq(
	ctx context.Context, kv jetstream.KeyValue, key string,
) (revision, seq uint64, err error) {
	stored, err := kv.Get(ctx, key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read %s of bucket %s: %w", key, kv.Bucket(), err)
	}
	var e struct {
		Seq uint64 `json:"seq"`
	}
	err = json.Unmarshal(stored.Value(), &e)
	return stored.Revision(), e.Seq, err
}
