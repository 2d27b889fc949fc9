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
	// answerWait is how long an answer of the broker is awaited.
	answerWait = 2 * time.Second
	// tryPause is the time between two tries.
	tryPause = 100 * time.Millisecond
)

// say has an event stored, if its subject does not hold one already.
func (x *executor) say(ctx context.Context, e contract.Event) error {
	if err := x.publish(ctx, e); !broker.SaidBefore(err) {
		return err
	}
	return nil
}

// publish has an event stored as the first on its subject, trying again until the broker answers or the
// context ends. broker.SaidBefore tells that its subject holds one, which may be this one: the answer to an
// earlier try may have been lost.
func (x *executor) publish(ctx context.Context, e contract.Event) error {
	e.Source = "/dagyo/executor/" + x.config.ID
	e.Time = time.Now().UTC()
	m, err := event.Encode(e)
	if err != nil {
		return err
	}
	for {
		attempt, cancel := context.WithTimeout(ctx, answerWait)
		_, err = x.link.JS.PublishMsg(attempt, m, jetstream.WithExpectLastSequencePerSubject(0))
		cancel()
		if err == nil || stream.Lasting(err) { // SaidBefore is
			return err
		}
		if err := pause(ctx, err); err != nil {
			return err
		}
	}
}

// pause is between two tries. It returns why there is no other: the last one's error, and the context's.
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

// stored returns the ID of the event that EVENTS holds on a subject, "" if it is not an event.
func (x *executor) stored(ctx context.Context, subject string) (id string, found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	m, err := x.link.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+contract.StreamEvents+"."+subject, nil)
	if err != nil {
		return "", false, fmt.Errorf("read %s: %w", subject, err)
	}
	switch code := m.Header.Get("Status"); code {
	case "":
	case "404":
		return "", false, nil
	default:
		return "", false, fmt.Errorf("read %s: status %s", subject, code)
	}
	e, err := event.Decode(subject, m.Header, m.Data)
	if err != nil {
		return "", true, nil // anybody's
	}
	return e.ID, true, nil
}
