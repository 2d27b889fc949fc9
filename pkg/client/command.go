package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
)

// Submit publishes a flow document, which must be JSON, and returns its sequence number in EVENTS once
// it is stored. The document is not validated yet.
//
// The flow belongs to the trace of [InTrace], or begins one.
func (c *Client) Submit(ctx context.Context, flow string, document []byte) (uint64, error) {
	e := event.New(contract.TypeFlowSubmit, c.source, flow, document, time.Now())
	// The broker must not deduplicate a corrected document under the same id.
	e.ID = string(e.Type) + "." + flow + "." + nuid.Next()
	return c.Publish(ctx, e)
}

// Cancel publishes the cancel of a flow.
func (c *Client) Cancel(ctx context.Context, flow, reason string) (uint64, error) {
	return c.Publish(ctx, c.cancel(flow, reason))
}

// CancelAsOperator publishes the cancel of any user's flow. The NATS server must let the user act as an operator.
func (c *Client) CancelAsOperator(ctx context.Context, flow, reason string) (uint64, error) {
	e := c.cancel(flow, reason)
	e.Operator = true
	return c.Publish(ctx, e)
}

func (c *Client) cancel(flow, reason string) contract.Event {
	data := &contract.FlowCancel{Flow: flow, Reason: reason}
	return event.New(contract.TypeFlowCancel, c.source, flow, data, time.Now())
}

// Publish publishes a command of a user, as another program has made it, and returns its sequence number in EVENTS once it
// is stored. A second one with the same id is stored once.
func (c *Client) Publish(ctx context.Context, e contract.Event) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	e.By = c.user
	if e.Type == contract.TypeFlowSubmit && e.Trace.IsZero() {
		e.Trace = traceOf(ctx, e.Subject)
	}
	m, err := c.link.Encode(ctx, e)
	if err != nil {
		return 0, err
	}
	ctx, done := c.denials.heed(ctx, m.Subject)
	defer done()
	ack, err := c.link.JS.PublishMsg(ctx, m, append(c.patience(), jetstream.WithMsgID(e.ID))...)
	err = denied(ctx, err)
	if errors.Is(err, jetstream.ErrNoStreamResponse) && c.cluster() {
		err = ErrNoLeader
	}
	if ofContext(err) || errors.Is(err, nats.ErrTimeout) {
		err = fmt.Errorf("%w (%w)", ErrUnknownOutcome, err)
	}
	if err != nil {
		return 0, fmt.Errorf("publish %s of %s: %w", e.Type, e.Subject, explained(err))
	}
	c.learn(e.Type, ack.Sequence)
	return ack.Sequence, nil
}

// leaderPause is the pause between two attempts to publish while no server of a cluster leads EVENTS, leaderTries the maximum
// number of further attempts: an election takes up to 9 s.
const (
	leaderPause = 250 * time.Millisecond
	leaderTries = int(askWait * 9 / 10 / leaderPause)
)

// patience is how the library tries again while nobody takes what is published. Without a cluster that means that there is no
// EVENTS; in one, its leader may have gone, and the next one not be elected yet.
func (c *Client) patience() []jetstream.PublishOpt {
	if !c.cluster() {
		return nil
	}
	return []jetstream.PublishOpt{jetstream.WithRetryWait(leaderPause), jetstream.WithRetryAttempts(leaderTries)}
}

func (c *Client) cluster() bool { return c.link.ConnectedClusterName() != "" }

// Apply publishes a progdef document, which must be JSON, under a name that is valid in an event, and
// waits for the validator's answer. Problems are an error of type problem.List.
func (c *Client) Apply(
	ctx context.Context, name string, document []byte,
) (*contract.ProgdefApplied, error) {
	e := event.New(contract.TypeProgdefApply, c.source, name, document, time.Now())
	e.ID = string(e.Type) + "." + name + "." + nuid.Next()
	answer, err := c.answered(ctx, e)
	if err != nil {
		return nil, err
	}
	applied, ok := answer.(*contract.ProgdefApplied)
	if !ok {
		return nil, fmt.Errorf("apply progdef %s: unexpected answer of the validator: %T", name, answer)
	}
	return applied, nil
}

// Remove removes a progdef from the catalogue, and waits until it is removed. It returns
// ErrUnknownProgdef if there is no such progdef.
func (c *Client) Remove(ctx context.Context, name string) error {
	data := &contract.ProgdefRemove{Name: name}
	e := event.New(contract.TypeProgdefRemove, c.source, name, data, time.Now())
	_, err := c.answered(ctx, e)
	var problems problem.List
	if errors.As(err, &problems) && problems[0].Code == problem.UnknownProgdef {
		return fmt.Errorf("%w: %q", ErrUnknownProgdef, name)
	}
	return err
}

// ApplyType publishes a type document, which must be JSON, under a unique name, and waits for the
// validator's answer. Problems are an error of type problem.List.
func (c *Client) ApplyType(
	ctx context.Context, id string, document []byte,
) (*contract.TypeApplied, error) {
	e := event.New(contract.TypeTypeApply, c.source, id, document, time.Now())
	answer, err := c.answered(ctx, e)
	if err != nil {
		return nil, err
	}
	applied, ok := answer.(*contract.TypeApplied)
	if !ok {
		return nil, fmt.Errorf("apply type %s: unexpected answer of the validator: %T", id, answer)
	}
	return applied, nil
}

// answered publishes a command about a catalogue or a webhook, and waits for the answer of the service.
func (c *Client) answered(ctx context.Context, e contract.Event) (any, error) {
	seq, err := c.Publish(ctx, e)
	if err != nil {
		return nil, err
	}
	area, _, _ := strings.Cut(string(e.Type), ".")
	feed, err := c.Follow(ctx, Start{Seq: seq}, area+".*."+e.Subject)
	if err != nil {
		return nil, err
	}
	defer feed.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, 2*askWait, ErrNoAnswer)
	defer cancel()
	answer, err := feed.Next(ctx)
	for err == nil && area == "webhook" && answer.Cause != seq { // an answer to another command, or no answer
		answer, err = feed.Next(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("%s of %s: %w", e.Type, e.Subject, err)
	}
	switch d := answer.Data.(type) {
	case *contract.WebhookRejected:
		return nil, d.Problems
	case *contract.ProgdefRejected:
		return nil, d.Problems
	case *contract.TypeRejected:
		return nil, d.Problems
	}
	return answer.Data, nil
}
