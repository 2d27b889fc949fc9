package edge

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The broker confirms an acknowledgement even if the message was meanwhile delivered to another client and acknowledged
// by it. So a confirmed acknowledgement does not prove that a job is ours (ADR 2).
func TestBrokerConfirmsLateAcknowledgements(t *testing.T) {
	b := startBroker(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	js := b.connect()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "MAILBOX", Subjects: []string{"mailbox"}, Retention: jetstream.WorkQueuePolicy,
	}); err != nil {
		t.Fatal(err)
	}
	cons, err := js.CreateConsumer(ctx, "MAILBOX", jetstream.ConsumerConfig{
		Durable: "shared", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, "mailbox", []byte("job")); err != nil {
		t.Fatal(err)
	}
	first, err := cons.Next(jetstream.FetchMaxWait(10 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	second, err := cons.Next(jetstream.FetchMaxWait(10 * time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for who, m := range map[string]jetstream.Msg{"second": second, "first": first} {
		if err := m.DoubleAck(ctx); err != nil {
			t.Errorf("%s: %v; if the broker now rejects late acknowledgements, ADR 2 can be simplified", who, err)
		}
	}
}
