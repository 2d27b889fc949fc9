package client

import (
	"context"
	"errors"
	"fmt"
	"time"

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

// A Feed delivers events in the order in which they are stored, each once, across reconnects and restarts of the
// server. Events that are deleted from EVENTS before they are read are skipped.
type Feed struct {
	// Stored is the number of stored events when the feed started.
	Stored uint64

	client *Client
	events chan contract.Event
	stop   context.CancelFunc
}

// feedBuffer is the number of events that are buffered for Next; EVENTS keeps the rest.
const feedBuffer = 64

// Follow starts delivering the events on the subjects, or all events without subjects. The caller must close the feed.
func (c *Client) Follow(ctx context.Context, from Start, subjects ...string) (*Feed, error) {
	if len(subjects) == 0 {
		subjects = []string{allSubjects}
	}
	t, err := openTail(c.link, contract.StreamEvents, subjects)
	if err != nil {
		return nil, fmt.Errorf("follow events: %w", explained(err))
	}
	stored, err := t.begin(ctx, from)
	if err != nil {
		t.close()
		return nil, fmt.Errorf("follow events: %w", explained(err))
	}
	f := &Feed{Stored: stored, client: c, events: make(chan contract.Event, feedBuffer)}
	ctx, f.stop = context.WithCancel(context.WithoutCancel(ctx))
	c.closing.Go(func() { f.run(ctx, t) })
	return f, nil
}

// run delivers until the feed or the connection is closed.
func (f *Feed) run(ctx context.Context, t *tail) {
	defer t.close()
	for {
		found, err := t.next(ctx)
		if err != nil {
			return
		}
		for _, m := range found {
			if contract.TypeOf(m.Subject) == contract.TypeTick {
				continue // a tick only tells services the time
			}
			e := f.read(ctx, m)
			f.client.learn(contract.TypeOf(m.Subject), m.Sequence)
			select {
			case f.events <- e:
			case <-ctx.Done():
				return
			}
		}
	}
}

// FlowSubjects returns the subjects of all events of a flow after its submission.
func FlowSubjects(flow string) []string {
	return []string{"flow.*." + flow, "job.*." + flow + ".>"}
}

// read decodes a message. While the broker does not return the data that it refers to, it waits.
func (f *Feed) read(ctx context.Context, m *stored) contract.Event {
	body, err := f.client.link.Resolve(ctx, m.Subject, m.Header, m.Data)
	for broker.Transient(err) && ctx.Err() == nil && !f.client.link.IsClosed() {
		pause(ctx, retryPause)
		body, err = f.client.link.Resolve(ctx, m.Subject, m.Header, m.Data)
	}
	var e contract.Event
	if err == nil {
		e, err = event.Decode(m.Subject, m.Header, body)
	}
	var unreadable *event.Unreadable
	if errors.As(err, &unreadable) {
		e.Raw, e.Problems = body, unreadable.Problems
	} else if err != nil {
		e.Problems = problem.List{{Code: problem.NotCloudEvent, Message: err.Error()}}
	}
	e.Seq = m.Sequence
	if e.Time.IsZero() {
		e.Time = m.Time
	}
	return e
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

// Close stops the feed. Its goroutine ends at once; Client.Close waits for it.
func (f *Feed) Close() { f.stop() }

// pause waits, or until the context ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
