package validator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/progdef"
	"github.com/dagyo/dagyo/pkg/service"
)

// Name is the service's name.
const Name = "validator"

// Config is how the validator runs.
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
	commands := []contract.Type{
		contract.TypeFlowSubmit, contract.TypeProgdefApply, contract.TypeProgdefRemove,
		contract.TypeTypeApply,
	}
	return service.Run(ctx, link, service.Service[State]{
		Name:   Name,
		Causes: commands,
		Folds:  []contract.Type{contract.TypeFlowValidated},
		New: func(ctx context.Context, link *broker.Link) (State, error) {
			stored, err := broker.Catalog(ctx, link.JS)
			if err != nil {
				return State{}, err
			}
			types, err := broker.Types(ctx, link.JS, c.Broker)
			return NewState(c.Limits, stored).WithTypes(types), err
		},
		Evolve: Evolve,
		Decide: Decide,
		Perform: func(ctx context.Context, effect contract.Event) error {
			return storeCatalog(ctx, link.JS, effect)
		},
		Asks: asks(link.MaxPayload),
	}, c.Config)
}

// storeCatalog writes what an answer has changed, unless a later change is stored already.
func storeCatalog(ctx context.Context, js jetstream.JetStream, effect contract.Event) error {
	seq, _ := effect.With.(uint64)
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

// store puts an entry under its key, unless the bucket holds that of a later change.
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

// storedSeq returns the bucket's revision of a key and the change that it holds.
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
