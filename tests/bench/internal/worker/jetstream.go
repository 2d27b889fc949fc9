package worker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/tests/bench/internal/role"
)

// asyncPending is the maximum number of unconfirmed publishes per connection: the client's default.
const asyncPending = 4000

// jsSend publishes one message per record to a stream: asynchronously, or one at a time for lone records.
func jsSend(_ context.Context, l Load) (prepared, error) {
	nc, err := connect(l, "js-send")
	if err != nil {
		return prepared{}, err
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(asyncPending))
	if err != nil {
		nc.Close()
		return prepared{}, err
	}
	return prepared{end: nc.Close, run: func(ctx context.Context, _ *role.Session) (Result, error) {
		m, record := newMeter(l), newRecord(l)
		for !m.over() {
			stamp(l, record)
			if err := publish(ctx, js, l, record); err != nil {
				return Result{}, err
			}
			m.add(l.Size)
		}
		r := m.done()
		select {
		case <-js.PublishAsyncComplete():
		case <-time.After(patience):
			return Result{}, fmt.Errorf("%d publishes are not confirmed", js.PublishAsyncPending())
		}
		_, err := js.Publish(ctx, l.Subject, nil) // the end
		return r, err
	}}, nil
}

func publish(ctx context.Context, js jetstream.JetStream, l Load, record []byte) error {
	if l.Gap > 0 {
		_, err := js.Publish(ctx, l.Subject, record)
		return err
	}
	_, err := js.PublishAsync(l.Subject, record)
	return err
}

// jsRecv reads a stream in order without acknowledging, which is JetStream's fastest way.
func jsRecv(ctx context.Context, l Load) (prepared, error) {
	nc, err := connect(l, "js-recv")
	if err != nil {
		return prepared{}, err
	}
	m, done := newMeter(l), make(chan Result, 1)
	consuming, err := consume(ctx, l, nc, func(msg jetstream.Msg) {
		if len(msg.Data()) == 0 {
			done <- m.done()
			return
		}
		m.delay(msg.Data())
		m.add(len(msg.Data()))
	})
	if err != nil {
		nc.Close()
		return prepared{}, err
	}
	return prepared{end: func() { consuming.Stop(); nc.Close() }, run: ending(l, done)}, nil
}

// readAhead is the number of messages that the reader of a stream requests at once.
const readAhead = 5000

func consume(
	ctx context.Context, l Load, nc *nats.Conn, take jetstream.MessageHandler,
) (jetstream.ConsumeContext, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	consumer, err := js.OrderedConsumer(ctx, StreamOf(l.Subject), jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, err
	}
	return consumer.Consume(take, jetstream.PullMaxMessages(readAhead))
}

// StreamOf names the stream that stores a reference's subject.
func StreamOf(subject string) string { return strings.ReplaceAll(subject, ".", "-") }
