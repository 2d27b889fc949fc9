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
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/pkg/service/core"
)

// Name is the service's name.
const Name = "validator"

// Config is the validator's configuration.
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
	w := &wiring{link: link}
	w.past = history.NewIndex(link.JS, w.stored)
	return service.Run(ctx, link, service.Service[*State]{
		Logic: Logic(),
		New: func(ctx context.Context) (*State, error) {
			stored, err := broker.Catalog(ctx, link.JS)
			if err != nil {
				return nil, err
			}
			types, err := broker.Types(ctx, link.JS, c.Broker)
			return NewState(c.Limits, stored).WithTypes(types), err
		},
		Perform: w.perform,
		Observe: []func(context.Context, *service.Runtime[*State]) error{w.followHistory},
		Asks:    asks(link.MaxPayload),
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
	link *broker.Link
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

// stored folds the flows that are in history.
func (w *wiring) stored(upto uint64) {
	w.runtime.Fold(contract.Event{Type: factStored, With: upto})
}

func (w *wiring) perform(
	ctx context.Context, r *service.Runtime[*State], effect contract.Event,
) (contract.Event, error) {
	var used *taken
	if c, ok := effect.With.(command); ok {
		var err error
		if used, err = w.used(ctx, c.Subject); err != nil {
			return effect, err
		}
	}
	effect, err := judge(ctx, r, effect, used)
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
	return &taken{Document: status.Document}, nil
}

// An Events gives access to what is needed to judge a submission: the state, and the submission's document.
type Events interface {
	// Read calls f with the state; f must neither change nor retain it.
	Read(f func(*State))
	// Message reads a message of EVENTS. It returns nil if EVENTS no longer has it.
	Message(ctx context.Context, seq uint64) (*event.Stored, error)
}

// Judge replaces the effect of a submission by its answer. It returns other effects unchanged.
func Judge(ctx context.Context, r Events, effect contract.Event) (contract.Event, error) {
	return judge(ctx, r, effect, nil)
}

func judge(
	ctx context.Context, r Events, effect contract.Event, used *taken,
) (answer contract.Event, err error) {
	c, ok := effect.With.(command)
	if !ok {
		return effect, nil
	}
	raw, problems, err := documentOf(ctx, r, c)
	if err != nil {
		return answer, err
	}
	r.Read(func(s *State) {
		if len(problems) > 0 {
			answer = s.unreadable(c, problems, used)
		} else {
			answer = s.submission(c, raw, used)
		}
	})
	return answer, nil
}

// documentOf returns the document of a submission, from EVENTS if it is not in memory.
func documentOf(ctx context.Context, r Events, c command) (raw []byte, problems problem.List, err error) {
	if c.Raw != nil {
		return c.Raw, nil, nil
	}
	m, err := r.Message(ctx, c.Seq)
	switch {
	case err != nil:
		return nil, nil, err
	case m == nil:
		return nil, problem.List{{
			Code: problem.GaveUp, Message: "the submission is no longer stored: there were too many to answer it in time",
			Hint: "submit it again",
		}}, nil
	}
	return m.Event.Raw, m.Problems, nil
}

// storeCatalog writes the change of an answer, unless a later change is already stored.
func storeCatalog(ctx context.Context, js jetstream.JetStream, effect contract.Event) error {
	seq := effect.Cause
	switch d := effect.Data.(type) {
	case *contract.ProgdefApplied:
		pinned := progdef.Pinned{Revision: d.Revision, Document: d.Document}
		return store(ctx, js, contract.BucketProgdefs, d.Name, seq,
			contract.CatalogEntry{Seq: seq, Pinned: pinned})
	case *contract.ProgdefRemoved:
		return store(ctx, js, contract.BucketProgdefs, d.Name, seq,
			contract.CatalogEntry{Seq: seq, Removed: true})
	case *contract.TypeApplied:
		return store(ctx, js, contract.BucketTypes, contract.TypeKey(d.Name), seq,
			contract.TypeEntry{Seq: seq, Document: d.Document})
	default:
		return nil
	}
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
