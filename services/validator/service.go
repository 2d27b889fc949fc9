package validator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
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
	}
	return service.Run(ctx, link, service.Service[State]{
		Name:   Name,
		Causes: commands,
		Folds:  []contract.Type{contract.TypeFlowValidated},
		New: func(ctx context.Context, link *broker.Link) (State, error) {
			stored, err := broker.Catalog(ctx, link.JS)
			return NewState(c.Limits, stored), err
		},
		Evolve: Evolve,
		Decide: Decide,
		Perform: func(ctx context.Context, effect contract.Event) error {
			return storeCatalog(ctx, link.JS, effect)
		},
		Asks: map[string]service.Ask[State]{
			contract.AskFlowValidate: askValidate,
			contract.AskCatalogList:  askList,
			contract.AskCatalogGet:   askGet,
		},
	}, c.Config)
}

// storeCatalog writes what an answer has changed, unless a later change is stored already.
func storeCatalog(ctx context.Context, js jetstream.JetStream, effect contract.Event) error {
	seq, _ := effect.With.(uint64)
	entry := contract.CatalogEntry{Seq: seq}
	switch d := effect.Data.(type) {
	case *contract.ProgdefApplied:
		entry.Pinned = progdef.Pinned{Revision: d.Revision, Document: d.Document}
	case *contract.ProgdefRemoved:
		entry.Removed = true
	default:
		return nil
	}
	body, err := json.Marshal(entry)
	if err != nil {
		return err
	}
	kv, err := js.KeyValue(ctx, contract.BucketProgdefs)
	if err != nil {
		return fmt.Errorf("open the catalogue: %w", err)
	}
	for {
		revision, newest, err := storedSeq(ctx, kv, effect.Subject)
		if err != nil || newest >= seq {
			return err
		}
		_, err = kv.Update(ctx, effect.Subject, body, revision)
		if !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			return err
		}
	}
}

// storedSeq returns the bucket's revision of a progdef and the change that it holds.
func storedSeq(ctx context.Context, kv jetstream.KeyValue, name string) (revision, seq uint64, err error) {
	stored, err := kv.Get(ctx, name)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("read progdef %s: %w", name, err)
	}
	var e contract.CatalogEntry
	err = json.Unmarshal(stored.Value(), &e)
	return stored.Revision(), e.Seq, err
}

// askValidate answers a flow document with the event that its submission would get.
func askValidate(s State, raw []byte) (any, error) {
	e := s.Judge("would-be", raw, 0)
	e.Source, e.Time = "/dagyo/"+Name, time.Now().UTC()
	msg, err := event.Encode(e)
	if err != nil {
		return nil, err
	}
	return json.RawMessage(msg.Data), nil
}

func askList(s State, _ []byte) (any, error) {
	out := make([]progdef.Pinned, 0, len(s.catalog))
	for _, name := range s.names() {
		out = append(out, s.catalog[name])
	}
	return out, nil
}

func askGet(s State, name []byte) (any, error) {
	p, ok := s.catalog[string(name)]
	if !ok {
		return nil, fmt.Errorf("there is no progdef %q", name)
	}
	return p, nil
}
