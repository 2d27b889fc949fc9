package broker

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
)

// Types reads the stored type catalogue, by the names of the types. It creates the bucket if it does not
// exist.
func Types(
	ctx context.Context, js jetstream.JetStream, c Config,
) (map[string]contract.TypeEntry, error) {
	kv, err := ensureBucket(ctx, js, c.types())
	if err != nil {
		return nil, err
	}
	keys, err := kv.ListKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the type catalogue: %w", err)
	}
	out := make(map[string]contract.TypeEntry)
	for key := range keys.Keys() {
		stored, err := kv.Get(ctx, key)
		if err != nil {
			return nil, fmt.Errorf("read type %s: %w", key, err)
		}
		var e contract.TypeEntry
		if err := json.Unmarshal(stored.Value(), &e); err != nil {
			return nil, fmt.Errorf("read type %s: %w", key, err)
		}
		out[e.Name] = e
	}
	return out, nil
}

func (c Config) types() jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket: contract.BucketTypes, Description: "The documentation of typenames",
		Storage: jetstream.FileStorage, Replicas: c.Replicas,
	}
}
