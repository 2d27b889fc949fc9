package broker

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
)

// Webhooks returns the bucket of webhooks, and creates it if it does not exist.
func Webhooks(ctx context.Context, js jetstream.JetStream, c Config) (jetstream.KeyValue, error) {
	return ensureBucket(ctx, js, c.webhooks())
}

func (c Config) webhooks() jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket: contract.BucketWebhooks, Description: "Webhooks, and what became of their deliveries",
		Storage: jetstream.FileStorage, Replicas: c.Replicas,
	}
}
