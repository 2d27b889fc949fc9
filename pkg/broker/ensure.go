package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
)

// DedupWindow is how long EVENTS and JOBS remember message ids. Only publications of users and to mailboxes have
// ids: services do not depend on them for what they publish.
const DedupWindow = 2 * time.Minute

// Config configures the streams.
type Config struct {
	// Replicas of EVENTS, JOBS and the buckets: 1, 3 or 5.
	Replicas int
	// EventsMaxAge, EventsMaxCount and EventsMaxBytes limit what EVENTS keeps beyond what is still needed.
	EventsMaxAge   time.Duration
	EventsMaxCount int64
	EventsMaxBytes int64
}

// eventsBurst is the factor by which EVENTS may exceed EventsMaxBytes while more than that is needed, or while no
// service is running that could trim it. Then the broker rejects publications: it never drops stored messages.
const eventsBurst = 4

// NearlyFull reports whether EVENTS with that size is close to the size at which the broker rejects publications.
func (c Config) NearlyFull(bytes uint64) bool {
	return float64(bytes) > eventsBurst*float64(c.EventsMaxBytes)*3/4
}

// DefaultConfig is for a single server: one replica.
func DefaultConfig() Config {
	return Config{
		Replicas: 1, EventsMaxAge: 24 * time.Hour, EventsMaxCount: 50_000, EventsMaxBytes: 256 << 20,
	}
}

// Validate reports every error in the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.Replicas < 1 || c.Replicas > 5 {
		errs = append(errs, fmt.Errorf("replicas: %d is not between 1 and 5", c.Replicas))
	}
	if c.EventsMaxAge < time.Minute {
		errs = append(errs, fmt.Errorf("events max age: %v is less than a minute", c.EventsMaxAge))
	}
	if c.EventsMaxCount < leastEvents {
		errs = append(errs, fmt.Errorf("events max count: %d is less than %d", c.EventsMaxCount, leastEvents))
	}
	if c.EventsMaxBytes < leastEventBytes {
		errs = append(errs, fmt.Errorf("events max bytes: %d is less than %d", c.EventsMaxBytes, leastEventBytes))
	}
	return errors.Join(errs...)
}

// Minimum limits of EVENTS, so that clients can read all events of a flow.
const (
	leastEvents     = 1000
	leastEventBytes = 1 << 20
)

// Ensure creates the streams and buckets that all services share, and the given ones. Every service calls it at start;
// it changes nothing if they exist.
func Ensure(
	ctx context.Context, link *Link, c Config, further ...jetstream.StreamConfig,
) error {
	js := link.JS
	for _, s := range append([]jetstream.StreamConfig{c.events(), c.jobs(), c.leases()}, further...) {
		err := Insist(ctx, func(ctx context.Context) error { _, err := js.CreateOrUpdateStream(ctx, s); return err })
		if err != nil {
			return fmt.Errorf("create stream %s: %w", s.Name, err)
		}
	}
	if _, err := ensureBucket(ctx, js, c.progdefs()); err != nil {
		return err
	}
	err := Insist(ctx, func(ctx context.Context) error {
		_, err := link.JS.CreateOrUpdateObjectStore(ctx, c.data())
		return err
	})
	if err != nil {
		return fmt.Errorf("create bucket %s: %w", contract.BucketData, err)
	}
	return nil
}

// ensureBucket returns a bucket, and creates it if it does not exist.
func ensureBucket(ctx context.Context, js jetstream.JetStream, c jetstream.KeyValueConfig) (kv jetstream.KeyValue, err error) {
	err = Insist(ctx, func(ctx context.Context) (err error) { kv, err = js.CreateOrUpdateKeyValue(ctx, c); return err })
	if err != nil {
		return nil, fmt.Errorf("create bucket %s: %w", c.Bucket, err)
	}
	return kv, nil
}

// Insist sends a request to the JetStream API, and sends it again while there is no answer, until the context ends or,
// without a deadline, for some seconds. A cluster does not answer each request: of several equal ones that create a
// stream at once it answers one, and none that arrives while there is no leader.
func Insist(ctx context.Context, request func(context.Context) error) error {
	const first, longest = 500 * time.Millisecond, 4 * time.Second
	_, limited := ctx.Deadline()
	for patience := first; ; patience = min(2*patience, longest) {
		try, cancel := context.WithTimeout(ctx, patience)
		err := request(try)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil || patience == longest && !limited {
			return err
		}
	}
}

// data outlives the events that refer to it, which are stored later and kept equally long.
func (c Config) data() jetstream.ObjectStoreConfig {
	return jetstream.ObjectStoreConfig{
		Bucket: contract.BucketData, Description: "Data of events too large for a message",
		Storage: jetstream.FileStorage, Replicas: c.Replicas, TTL: c.EventsMaxAge + time.Hour,
	}
}

func (c Config) events() jetstream.StreamConfig {
	from, to := contract.Ingress()
	heard, at := contract.Republish()
	return jetstream.StreamConfig{
		Name:             contract.StreamEvents,
		Description:      "Every CloudEvent of Dagyo",
		Subjects:         contract.EventSubjects(),
		Retention:        jetstream.LimitsPolicy,
		Storage:          jetstream.FileStorage,
		Replicas:         c.Replicas,
		SubjectTransform: &jetstream.SubjectTransformConfig{Source: from, Destination: to},
		RePublish:        &jetstream.RePublish{Source: heard, Destination: at},
		MaxBytes:         eventsBurst * c.EventsMaxBytes,
		Discard:          jetstream.DiscardNew,
		MaxConsumers:     10_000,
		Duplicates:       DedupWindow,
		AllowDirect:      true,
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
		Description:       "Which replica of each service leads, and the names of executors",
		Subjects:          []string{contract.LeaseSubject("*"), contract.NameSubject("*")},
		Storage:           jetstream.FileStorage, // a restarted server forgets streams in memory
		Replicas:          c.Replicas,
		MaxMsgsPerSubject: 1,
		AllowMsgTTL:       true,
		AllowDirect:       true, // executors read names so; leases are read from the leader
		Duplicates:        time.Second,
	}
}

func (c Config) progdefs() jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket: contract.BucketProgdefs, Description: "The catalogue of progdefs",
		Storage: jetstream.FileStorage, Replicas: c.Replicas,
	}
}
