package aggregator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/service"
)

// statusBatch bounds the events that one round of the view takes.
const statusBatch = 2000

// keepStatus keeps the bucket "flows" true to EVENTS. Its place is a durable consumer, so the next
// leader goes on where the last one stopped.
func keepStatus(ctx context.Context, r *service.Runtime[State]) error {
	kv, err := r.Link().JS.KeyValue(ctx, contract.BucketFlows)
	if err != nil {
		return fmt.Errorf("open the status view: %w", err)
	}
	cons, err := r.Link().JS.CreateOrUpdateConsumer(ctx, contract.StreamEvents, jetstream.ConsumerConfig{
		Durable: Name + "-status", Description: "events for the status view",
		FilterSubjects: []string{"flow.>", "job.>"},
		AckPolicy:      jetstream.AckExplicitPolicy, MaxAckPending: 2 * statusBatch,
	})
	if err != nil {
		return fmt.Errorf("follow events for the status view: %w", err)
	}
	for ctx.Err() == nil {
		if err := writeStatuses(ctx, cons, kv); err != nil && ctx.Err() == nil {
			r.Log().Warn().Err(err).Msg("status view is behind; trying again")
			pause(ctx, time.Second)
		}
	}
	return nil
}

func writeStatuses(ctx context.Context, cons jetstream.Consumer, kv jetstream.KeyValue) error {
	msgs, err := gather(ctx, cons)
	if err != nil {
		return err
	}
	flows := make(map[string][]contract.Event)
	for _, m := range msgs {
		if e, err := event.Decode(m.Subject(), m.Headers(), m.Data()); err == nil && e.Flow() != "" {
			flows[e.Flow()] = append(flows[e.Flow()], e)
		}
	}
	for flow, events := range flows {
		if err := mergeStatus(ctx, kv, flow, events); err != nil {
			return fmt.Errorf("status of flow %s: %w", flow, err)
		}
	}
	for _, m := range msgs {
		if err := m.Ack(); err != nil {
			return err
		}
	}
	return nil
}

// gather waits for an event, and then takes what arrives within statusDelay.
func gather(ctx context.Context, cons jetstream.Consumer) ([]jetstream.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := fetch(cons.Fetch(1, jetstream.FetchContext(ctx)))
	if err != nil || len(out) == 0 {
		return out, err
	}
	pause(ctx, statusDelay)
	more, err := fetch(cons.FetchNoWait(statusBatch))
	return append(out, more...), err
}

func fetch(batch jetstream.MessageBatch, err error) ([]jetstream.Msg, error) {
	if err != nil {
		return nil, err
	}
	var out []jetstream.Msg
	for m := range batch.Messages() {
		out = append(out, m)
	}
	if err := batch.Error(); err != nil && !errors.Is(err, context.DeadlineExceeded) &&
		!errors.Is(err, context.Canceled) && !errors.Is(err, jetstream.ErrNoMessages) {
		return out, err
	}
	return out, nil
}

// mergeStatus adds the events to the flow's stored status, however many replicas do so at once.
func mergeStatus(ctx context.Context, kv jetstream.KeyValue, flow string, events []contract.Event) error {
	for {
		var status contract.FlowStatus
		var revision uint64
		entry, err := kv.Get(ctx, flow)
		switch {
		case err == nil:
			revision = entry.Revision()
			if err := json.Unmarshal(entry.Value(), &status); err != nil {
				return err
			}
		case !errors.Is(err, jetstream.ErrKeyNotFound):
			return err
		}
		for _, e := range events {
			status = With(status, e)
		}
		body, err := json.Marshal(status)
		if err != nil {
			return err
		}
		_, err = kv.Update(ctx, flow, body, revision)
		if !errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
