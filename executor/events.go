package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/stream"
)

const (
	// answerWait is how long to wait for an answer of the broker.
	answerWait = 2 * time.Second
	// tryPause is the time between two tries.
	tryPause = 100 * time.Millisecond
)

// first is the condition that an event is the first one on a subject, which may have wildcards.
func first(subject string) jetstream.PublishOpt {
	return jetstream.WithExpectLastSequenceForSubject(0, subject)
}

// on returns the subject on which this executor publishes what has a plain subject. It ends in the executor's id, so
// that NATS permissions can prove who publishes.
func (x *executor) on(subject string) string { return contract.Sender{Name: x.config.ID}.On(subject) }

// say publishes an event unless its subject already has one.
func (x *executor) say(ctx context.Context, e contract.Event) error {
	if err := x.publish(ctx, e); !broker.SaidBefore(err) {
		return err
	}
	return nil
}

// sayLast publishes an event about a job's end, unless its subject already has one from this executor. Where permissions
// do not prevent it, any client may have published there before; it is not believed.
func (x *executor) sayLast(ctx context.Context, e contract.Event) error {
	err := x.publish(ctx, e)
	for broker.SaidBefore(err) {
		before, found, lookErr := x.stored(ctx, x.on(e.NATSSubject()))
		switch {
		case found && before.Source == x.source():
			return nil
		case found:
			return x.store(ctx, e)
		}
		// The broker did not answer, or one of its servers is behind.
		if err := pause(ctx, lookErr); err != nil {
			return err
		}
	}
	return err
}

func (x *executor) source() string { return "/dagyo/executor/" + x.config.ID }

// publish stores an event as the first on its subject. It retries until the broker answers or the context
// ends. broker.SaidBefore reports that the subject already has an event, which may be this one: the answer
// to an earlier try may have been lost.
func (x *executor) publish(ctx context.Context, e contract.Event) error {
	return x.store(ctx, e, first(x.on(e.NATSSubject())))
}

func (x *executor) store(ctx context.Context, e contract.Event, how ...jetstream.PublishOpt) error {
	e.By, e.Source = x.config.ID, x.source()
	e.Time = time.Now().UTC()
	m, err := event.Encode(e)
	if err != nil {
		return err
	}
	for {
		attempt, cancel := context.WithTimeout(ctx, answerWait)
		_, err = x.link.JS.PublishMsg(attempt, m, how...)
		cancel()
		if err == nil || stream.Lasting(err) { // so is SaidBefore
			return err
		}
		if err := pause(ctx, err); err != nil {
			return err
		}
	}
}

// pause waits between two tries. If the context ends, it returns the last error joined with the context's.
func pause(ctx context.Context, last error) error {
	t := time.NewTimer(tryPause)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return errors.Join(last, context.Cause(ctx))
	}
}

// stored returns the last event that EVENTS has on a subject, which may have wildcards; the event is empty if the message
// is not an event.
func (x *executor) stored(ctx context.Context, subject string) (e contract.Event, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	m, err := x.link.RequestWithContext(ctx, x.link.ReplicaSubject(contract.StreamEvents)+"."+subject, nil)
	if err != nil {
		return e, false, fmt.Errorf("read %s: %w", subject, err)
	}
	switch code := m.Header.Get("Status"); code {
	case "":
	case "404":
		return e, false, nil
	default:
		return e, false, fmt.Errorf("read %s: status %s", subject, code)
	}
	e, err = event.Decode(m.Header.Get(jetstream.SubjectHeader), m.Header, m.Data)
	if err != nil {
		return contract.Event{}, true, nil // published by any client
	}
	return e, true, nil
}
