package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
)

// DedupWindow is how long EVENTS and JOBS remember message ids. Two verdicts on one flow are never
// this far apart; after it the folded state remembers.
const DedupWindow = 2 * time.Minute

// Config is how the streams are kept.
type Config struct {
	// Replicas of EVENTS, JOBS and the buckets: 1, 3 or 5.
	Replicas int
	// EventsMaxAge is how long events are kept. No flow may live longer.
	EventsMaxAge time.Duration
	// EventsMaxBytes bounds the EVENTS stream in octets; -1 leaves it to the disk.
	EventsMaxBytes int64
	// StatusMaxAge is how long the status of a flow can be shown after its last change.
	StatusMaxAge time.Duration
}

// DefaultConfig is for a single server: one replica, events for a week.
func DefaultConfig() Config {
	week := 7 * 24 * time.Hour
	return Config{Replicas: 1, EventsMaxAge: week, EventsMaxBytes: -1, StatusMaxAge: week}
}

// Ensure makes the streams and buckets that all services share. Every service calls it at start; it
// changes nothing when they are there already.
func Ensure(ctx context.Context, js jetstream.JetStream, c Config) error {
	for _, s := range []jetstream.StreamConfig{c.events(), c.jobs(), c.leases()} {
		if _, err := js.CreateOrUpdateStream(ctx, s); err != nil {
			return fmt.Errorf("make stream %s: %w", s.Name, err)
		}
	}
	for _, kv := range []jetstream.KeyValueConfig{c.progdefs(), c.flows()} {
		if _, err := js.CreateOrUpdateKeyValue(ctx, kv); err != nil {
			return fmt.Errorf("make bucket %s: %w", kv.Bucket, err)
		}
	}
	if _, err := js.CreateOrUpdateObjectStore(ctx, c.data()); err != nil {
		return fmt.Errorf("make bucket %s: %w", contract.BucketData, err)
	}
	return nil
}

// data outlives the events that refer to it, which are stored later and kept as long.
func (c Config) data() jetstream.ObjectStoreConfig {
	return jetstream.ObjectStoreConfig{
		Bucket: contract.BucketData, Description: "Data of events too large for a message",
		Storage: jetstream.FileStorage, Replicas: c.Replicas, TTL: c.EventsMaxAge + time.Hour,
	}
}

func (c Config) events() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:         contract.StreamEvents,
		Description:  "Every CloudEvent of Dagyo",
		Subjects:     contract.EventSubjects(),
		Retention:    jetstream.LimitsPolicy,
		Storage:      jetstream.FileStorage,
		Replicas:     c.Replicas,
		MaxAge:       c.EventsMaxAge,
		MaxBytes:     c.EventsMaxBytes,
		MaxConsumers: 10_000,
		Duplicates:   DedupWindow,
		AllowDirect:  true,
	}
}

func (c Config) jobs() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:         contract.StreamJobs,
		Description:  "Mailboxes: jobs that wait for an executor",
		Subjects:     []string{"jobs.>"},
		Retention:    jetstream.WorkQueuePolicy,
		Storage:      jetstream.FileStorage,
		Replicas:     c.Replicas,
		MaxConsumers: 100_000,
		Duplicates:   DedupWindow,
		AllowDirect:  true,
	}
}

func (c Config) leases() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              contract.StreamLeases,
		Description:       "Which replica of each service leads and how far it has come, and the names of executors",
		Subjects:          []string{contract.LeaseSubject("*"), contract.ProgressSubject("*"), contract.NameSubject("*")},
		Storage:           jetstream.FileStorage, // a restarted server forgets streams in memory
		Replicas:          c.Replicas,
		MaxMsgsPerSubject: 1,
		AllowMsgTTL:       true,
		Duplicates:        time.Second,
	}
}

func (c Config) progdefs() jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket: contract.BucketProgdefs, Description: "The catalogue of progdefs",
		Storage: jetstream.FileStorage, Replicas: c.Replicas,
	}
}

func (c Config) flows() jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket: contract.BucketFlows, Description: "Where each flow stands",
		Storage: jetstream.FileStorage, Replicas: c.Replicas, TTL: c.StatusMaxAge,
	}
}
