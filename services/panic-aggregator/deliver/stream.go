package deliver

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/webhook"
)

const (
	// window is how many events of a webhook are in flight or wait for another attempt. Later ones wait in the stream.
	window = 64
	// slack is how much longer than an attempt NATS waits for what becomes of an event, until it gives it to somebody else: the
	// leader may have crashed.
	slack = 10 * time.Second
	// keep is how long the stream keeps a verdict beyond the time in which it is tried, and in which EVENTS has it: NATS copies
	// into a stream that is empty from the beginning again.
	keep = time.Hour
	// dedup is the least that NATS accepts: nobody publishes to the stream.
	dedup = time.Second
)

// A Storage configures the stream WEBHOOKS.
type Storage struct {
	Replicas int
	// Bytes limits its size: the oldest verdicts are deleted first.
	Bytes int64
	// EventsAge is how long EVENTS keeps what is not needed.
	EventsAge time.Duration
}

// streamConfig is the stream of a tenant. from is a place in EVENTS before its first verdict.
func (s Storage) streamConfig(l Limits, from uint64) jetstream.StreamConfig {
	var verdicts []jetstream.SubjectTransformConfig
	for _, t := range []contract.Type{
		contract.TypeFlowCompleted, contract.TypeFlowPanic, contract.TypeFlowCancelled, contract.TypeFlowRejected,
	} {
		verdicts = append(verdicts, jetstream.SubjectTransformConfig{Source: string(t) + ".*", Destination: string(t) + ".{{wildcard(1)}}"})
	}
	return jetstream.StreamConfig{
		Name: contract.StreamWebhooks, Description: "Verdicts to be sent to webhooks",
		Sources:   []*jetstream.StreamSource{{Name: contract.StreamEvents, OptStartSeq: max(from, 1), SubjectTransforms: verdicts}},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: s.Replicas,
		MaxAge: max(l.GiveUp, s.EventsAge) + keep, MaxBytes: s.Bytes, Discard: jetstream.DiscardOld, Duplicates: dedup, AllowDirect: true,
	}
}

// ensureStream creates the stream, or adapts its limits.
func (d *Deliverer) ensureStream(ctx context.Context, from uint64) error {
	want := d.config.Storage.streamConfig(d.config.Limits, from)
	found, err := d.js.Stream(ctx, contract.StreamWebhooks)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = d.js.CreateStream(ctx, want)
		return err
	}
	if err != nil {
		return err
	}
	have := found.CachedInfo().Config
	if have.Replicas == want.Replicas && have.MaxAge == want.MaxAge && have.MaxBytes == want.MaxBytes {
		return nil
	}
	have.Replicas, have.MaxAge, have.MaxBytes = want.Replicas, want.MaxAge, want.MaxBytes
	_, err = d.js.UpdateStream(ctx, have)
	return err
}

// consumerName names the consumer of a webhook. One that is applied again after it was removed has another one.
func consumerName(w webhook.Entry) string {
	return w.Document.Name + "-" + strconv.FormatUint(w.Since, 10)
}

// consumer creates the consumer of a webhook, or adapts it to the events that the webhook wants.
func (d *Deliverer) consumer(ctx context.Context, w webhook.Entry) (jetstream.Consumer, error) {
	filters := make([]string, 0, len(w.Document.Events))
	for _, t := range w.Document.Events {
		filters = append(filters, t+".*")
	}
	on := w.On
	return d.js.CreateOrUpdateConsumer(ctx, contract.StreamWebhooks, jetstream.ConsumerConfig{
		Durable: consumerName(w), Description: "Verdicts for the webhook " + w.Document.Name,
		DeliverPolicy: jetstream.DeliverByStartTimePolicy, OptStartTime: &on,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: d.config.Limits.Timeout + slack, MaxAckPending: window, FilterSubjects: filters,
	})
}

// Pending returns how many events are still to be delivered to a webhook.
func Pending(ctx context.Context, js jetstream.JetStream, w webhook.Entry) (uint64, error) {
	c, err := js.Consumer(ctx, contract.StreamWebhooks, consumerName(w))
	if err != nil {
		return 0, err
	}
	info := c.CachedInfo()
	return info.NumPending + uint64(info.NumAckPending), nil
}

// tidy deletes consumers that no webhook has, and the stream if there are no webhooks.
func (d *Deliverer) tidy(ctx context.Context, wanted map[string]bool) error {
	s, err := d.js.Stream(ctx, contract.StreamWebhooks)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(wanted) == 0 {
		if err := d.js.DeleteStream(ctx, contract.StreamWebhooks); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("delete stream %s: %w", contract.StreamWebhooks, err)
		}
		return nil
	}
	names := s.ConsumerNames(ctx)
	for name := range names.Name() {
		if wanted[name] {
			continue
		}
		if err := s.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return fmt.Errorf("delete consumer %s: %w", name, err)
		}
	}
	return names.Err()
}

// placeInEvents returns the place in EVENTS of a message of the stream, 0 if it is not known.
func placeInEvents(h nats.Header) uint64 {
	fields := strings.Fields(h.Get("Nats-Stream-Source"))
	if len(fields) < 2 {
		return 0
	}
	seq, _ := strconv.ParseUint(fields[1], 10, 64) // 0 if it is not a number
	return seq
}
