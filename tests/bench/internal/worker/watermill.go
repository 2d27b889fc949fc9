package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wmnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/tests/bench/internal/role"
)

// Expect sends a Watermill sink the number of records, since unordered records have no end marker.
const Expect = "expect"

// wmAckWait is when an unacknowledged message is redelivered: never within a run.
const wmAckWait = 30 * time.Second

func wmPublisher(l Load) (message.Publisher, error) {
	return wmnats.NewPublisher(wmnats.PublisherConfig{
		URL: l.URL, JetStream: wmnats.JetStreamConfig{AckAsync: l.AckAsync},
	}, watermill.NopLogger{})
}

func wmSubscriber(l Load, durable string) (message.Subscriber, error) {
	config := wmnats.SubscriberConfig{
		URL: l.URL, SubscribersCount: l.Workers, AckWaitTimeout: wmAckWait,
		JetStream: wmnats.JetStreamConfig{
			AckAsync: l.AckAsync, DurablePrefix: durable,
			SubscribeOptions: []nats.SubOpt{nats.DeliverAll(), nats.AckExplicit()},
		},
	}
	if l.Workers > 1 {
		config.QueueGroupPrefix = durable
	}
	return wmnats.NewSubscriber(config, watermill.NopLogger{})
}

// wmSource publishes records, each confirmed before the next, from as many goroutines as the load has workers.
func wmSource(_ context.Context, l Load) (prepared, error) {
	pub, err := wmPublisher(l)
	if err != nil {
		return prepared{}, err
	}
	return prepared{end: func() { _ = pub.Close() },
		run: func(context.Context, *role.Session) (Result, error) {
			var mu sync.Mutex
			var total Result
			var failed error
			var all sync.WaitGroup
			for range max(l.Workers, 1) {
				all.Go(func() {
					r, err := wmPublish(l, pub)
					mu.Lock()
					defer mu.Unlock()
					total, failed = total.Add(r), errors.Join(failed, err)
				})
			}
			all.Wait()
			return total, failed
		}}, nil
}

func wmPublish(l Load, pub message.Publisher) (Result, error) {
	m, record := newMeter(l), newRecord(l)
	m.every = 1
	for !m.over() {
		if err := pub.Publish(l.Subject, message.NewMessage(watermill.NewUUID(), record)); err != nil {
			return Result{}, fmt.Errorf("publish: %w", err)
		}
		m.add(l.Size)
	}
	return m.done(), nil
}

// wmMap is a router with one handler from a topic to the next.
func wmMap(ctx context.Context, l Load) (prepared, error) {
	pub, err := wmPublisher(l)
	if err != nil {
		return prepared{}, err
	}
	sub, err := wmSubscriber(l, "map")
	if err != nil {
		return prepared{}, err
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: time.Second}, nil)
	if err != nil {
		return prepared{}, err
	}
	router.AddHandler("map", l.Subject, sub, l.Next, pub, wmHandle)
	ended := make(chan error, 1)
	go func() { ended <- router.Run(context.WithoutCancel(ctx)) }()
	<-router.Running()
	end := func() { _ = router.Close(); <-ended } // the process exits with it
	return prepared{end: end, run: func(ctx context.Context, s *role.Session) (Result, error) {
		_, err := s.Expect(ctx, role.Stop)
		return Result{}, err
	}}, nil
}

// wmHandle changes the first byte of a record.
func wmHandle(m *message.Message) ([]*message.Message, error) {
	out := append([]byte{}, m.Payload...)
	out[0] ^= 1
	return []*message.Message{message.NewMessage(m.UUID, out)}, nil
}

// wmSink counts records until it has received the expected number.
func wmSink(ctx context.Context, l Load) (prepared, error) {
	sub, err := wmSubscriber(l, "sink")
	if err != nil {
		return prepared{}, err
	}
	topic, err := sub.Subscribe(context.WithoutCancel(ctx), l.Subject)
	if err != nil {
		return prepared{}, err
	}
	m := newMeter(l)
	m.every = 1
	var wanted atomic.Int64
	return prepared{end: func() { _ = sub.Close() },
		run: func(ctx context.Context, s *role.Session) (Result, error) {
			told := make(chan error, 1)
			go func() { told <- expected(ctx, s, &wanted) }()
			for n := int64(0); n == 0 || m.result.Records < n; {
				select {
				case msg := <-topic:
					m.add(len(msg.Payload))
					msg.Ack()
				case err := <-told:
					if err != nil {
						return Result{}, err
					}
					n, told = wanted.Load(), nil
				case <-time.After(patience):
					return Result{}, fmt.Errorf("%d of %d records: %w", m.result.Records, n, errPatience)
				}
			}
			return m.done(), nil
		}}, nil
}

func expected(ctx context.Context, s *role.Session, n *atomic.Int64) error {
	c, err := s.Expect(ctx, Expect)
	if err != nil {
		return err
	}
	var wanted int64
	if err := c.Decode(&wanted); err != nil {
		return err
	}
	n.Store(wanted)
	return nil
}
