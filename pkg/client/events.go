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

// ErrUnknownEvent is returned if EVENTS has no message with the sequence number.
var ErrUnknownEvent = errors.New("message not found in EVENTS")

// A StoredEvent is one message of EVENTS as it was published.
type StoredEvent struct {
	Seq     uint64
	Time    time.Time
	Subject string
	Header  map[string][]string
	Data    []byte
}

// Event returns the message with a sequence number, or ErrUnknownEvent.
func (c *Client) Event(ctx context.Context, seq uint64) (StoredEvent, error) {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	m, err := c.link.LeaderMessage(ctx, contract.StreamEvents, broker.Query{Seq: seq})
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return StoredEvent{}, fmt.Errorf("%w: sequence number %d", ErrUnknownEvent, seq)
	}
	if err != nil {
		return StoredEvent{}, explained(err)
	}
	return StoredEvent{Seq: seq, Time: m.Time, Subject: m.Subject, Header: m.Header, Data: m.Data}, nil
}

// Skip deletes a message from EVENTS, so that no service reads it, and publishes a dead letter about it.
func (c *Client) Skip(ctx context.Context, seq uint64, reason string) error {
	m, err := c.Event(ctx, seq)
	if err != nil {
		return err
	}
	skipped, _ := event.Decode(m.Subject, m.Header, m.Data) // as far as it can be decoded
	letter := event.New(contract.TypeDeadLetter, c.source, "deadletter", &contract.DeadLetter{
		Subject: m.Subject, Sequence: seq, Source: skipped.Source, ID: skipped.ID, Excerpt: contract.Excerpt(m.Data),
		Problems: problem.List{{Code: problem.Skipped, Message: "skipped by an operator: " + reason}},
	}, time.Now())
	letter.ID, letter.Operator = "deadletter."+nuid.Next(), c.user != ""
	if _, err := c.Publish(ctx, letter); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	events, err := c.link.JS.Stream(ctx, contract.StreamEvents)
	if err == nil {
		err = events.DeleteMsg(ctx, seq)
	}
	if err != nil {
		return fmt.Errorf("delete event %d: %w", seq, explained(err))
	}
	return nil
}
