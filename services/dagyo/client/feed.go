package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
)

// A Start is where in EVENTS a feed begins; its zero value is the beginning.
type Start struct {
	// Seq is the first place of interest.
	Seq uint64
	// Time is the first moment of interest.
	Time time.Time
	// New leaves out all that is stored already.
	New bool
}

// feedName begins the names of feeds' consumers, so that an operator can tell them from those of services.
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
	// Stored is how many events were there when the feed began.
	Stored uint64

	client    *Client
	events    chan contract.Event
	closed    chan struct{}
	stop      context.CancelFunc
	consuming jetstream.ConsumeContext
}

// feedBuffer bounds what waits for Next; beyond it the server keeps the rest.
const feedBuffer = 64

// Follow begins to deliver the events on the subjects, all events where none are named. Close the feed.
func (c *Client) Follow(ctx context.Context, from Start, subjects ...string) (*Feed, error) {
	oc, err := c.link.JS.OrderedConsumer(ctx, contract.StreamEvents, from.config(subjects))
	if err != nil {
		return nil, fmt.Errorf("follow events: %w", explained(err))
	}
	info, err := oc.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("follow events: %w", explained(err))
	}
	f := &Feed{
		Stored: info.NumPending, client: c,
		events: make(chan contract.Event, feedBuffer), closed: make(chan struct{}),
	}
	var fetching context.Context
	fetching, f.stop = context.WithCancel(context.WithoutCancel(ctx))
	take := func(m jetstream.Msg) { f.take(fetching, m) }
	quiet := jetstream.ConsumeErrHandler(func(jetstream.ConsumeContext, error) {}) // it recovers
	f.consuming, err = oc.Consume(take, quiet)
	if err != nil {
		f.stop()
		return nil, fmt.Errorf("follow events: %w", explained(err))
	}
	return f, nil
}

// FlowSubjects are the subjects of a flow's whole story behind its submission.
func FlowSubjects(flow string) []string {
	return []string{"flow.*." + flow, "job.*." + flow + ".*"}
}

func (f *Feed) take(ctx context.Context, m jetstream.Msg) {
	if contract.TypeOf(m.Subject()) == contract.TypeTick {
		return // it tells services the time, and nobody else anything
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

// Close ends the feed. Its goroutines end once the server answers what they have asked; Client.Close waits for them.
func (f *Feed) Close() {
	close(f.closed)
	f.stop()
	f.client.closing.Go(func() {
		f.consuming.Stop()
		<-f.consuming.Closed()
	})
}
