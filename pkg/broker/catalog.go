package broker

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
)

// Catalog reads the stored catalogue, including removed progdefs.
func Catalog(ctx context.Context, js jetstream.JetStream) (map[string]contract.CatalogEntry, error) {
	kv, err := js.KeyValue(ctx, contract.BucketProgdefs)
	if err != nil {
		return nil, fmt.Errorf("open the catalogue: %w", err)
	}
	keys, err := kv.ListKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the catalogue: %w", err)
	}
	out := make(map[string]contract.CatalogEntry)
	for name := range keys.Keys() {
		stored, err := kv.Get(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("read progdef %s: %w", name, err)
		}
		var e contract.CatalogEntry
		if err := json.Unmarshal(stored.Value(), &e); err != nil {
			return nil, fmt.Errorf("read progdef %s: %w", name, err)
		}
		out[name] = e
	}
	return out, nil
}
