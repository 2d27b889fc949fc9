package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
)

// A Start is the position in EVENTS where a feed starts; its zero value is the first event.
type Start struct {
	// Seq is the first sequence number to deliver.
	Seq uint64
	// Time is the time of the first event to deliver.
	Time time.Time
	// New skips all events that are already stored.
	New bool
}

// feedName is the prefix of the names of feeds' consumers: operators can tell them from those of services.
const feedName = "dagyo-client-"

func (s Start) config(filters []string) jetstream.OrderedConsumerConfig {
	c := jetstream.OrderedConsumerConfig{
		FilterSubjects: filters, DeliverPolicy: jetstream.DeliverAllPolicy, NamePrefix: feedName + nuid.Next(),
	}
	switch {
	case s.New:
		c.DeliverPolicy = jetstream.DeliverNewPolicy
	case s.Seq > 0:
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverByStartSequencePolicy, s.Seq
	case !s.Time.IsZero():
		c.DeliverPolicy, c.OptStartTime = jetstream.DeliverByStartTimePolicy, &s.Time
	}
	return c
}

// A Feed delivers events in their order, across reconnects and restarts of the server.
type Feed struct {
	// Stored is the number of stored events when the feed started.
	Stored uint64

	client    *Client
	events    chan contract.Event
	closed    chan struct{}
	stop      context.CancelFunc
	consuming jetstream.ConsumeContext
}

// feedBuffer is the number of events that are buffered for Next; the server keeps the rest.
const feedBuffer = 64

// Follow starts delivering the events on the subjects, or all events without subjects. The caller must close the feed.
func (c *Client) Follow(ctx context.Context, from Start, subjects ...string) (*Feed, error) {
	var oc jetstream.Consumer
	err := broker.Insist(ctx, func(ctx context.Context) (err error) {
		oc, err = c.link.JS.OrderedConsumer(ctx, contract.StreamEvents, from.config(subjects))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("follow events: %w", explained(err))
	}
	f := &Feed{
		Stored: oc.CachedInfo().NumPending, client: c,
		events: make(chan contract.Event, feedBuffer), closed: make(chan struct{}),
	}
	var fetching context.Context
	fetching, f.stop = context.WithCancel(context.WithoutCancel(ctx))
	take := func(m jetstream.Msg) { f.take(fetching, m) }
	quiet := jetstream.ConsumeErrHandler(func(jetstream.ConsumeContext, error) {}) // the consumer recovers
	f.consuming, err = oc.Consume(take, quiet)
	if err != nil {
		f.stop()
		return nil, fmt.Errorf("follow events: %w", explained(err))
	}
	return f, nil
}

// FlowSubjects returns the subjects of all events of a flow after its submission.
func FlowSubjects(flow string) []string {
	return []string{"flow.*." + flow, "job.*." + flow + ".*"}
}

func (f *Feed) take(ctx context.Context, m jetstream.Msg) {
	if contract.TypeOf(m.Subject()) == contract.TypeTick {
		return // a tick only tells services the time
	}
	body, err := f.client.link.Resolve(ctx, m.Headers(), m.Data())
	var e contract.Event
	if err == nil {
		e, err = event.Decode(m.Subject(), m.Headers(), body)
	}
	var unreadable *event.Unreadable
	if errors.As(err, &unreadable) {
		e.Raw, e.Problems = body, unreadable.Problems
	} else if err != nil {
		e.Problems = problem.List{{Code: problem.NotCloudEvent, Message: err.Error()}}
	}
	if meta, err := m.Metadata(); err == nil {
		e.Seq = meta.Sequence.Stream
		if e.Time.IsZero() {
			e.Time = meta.Timestamp
		}
	}
	select {
	case f.events <- e:
	case <-f.closed:
	}
}

// Events delivers the events. It is never closed.
func (f *Feed) Events() <-chan contract.Event { return f.events }

// Next waits for the next event.
func (f *Feed) Next(ctx context.Context) (contract.Event, error) {
	select {
	case e := <-f.events:
		return e, nil
	case <-ctx.Done():
		return contract.Event{}, context.Cause(ctx)
	}
}

// Close stops the feed. Its goroutines end when their requests are answered; Client.Close waits for them.
func (f *Feed) Close() {
	close(f.closed)
	f.stop()
	f.client.closing.Go(func() {
		f.consuming.Stop()
		<-f.consuming.Closed()
	})
}
