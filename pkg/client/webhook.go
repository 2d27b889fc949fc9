package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nuid"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
)

// Webhooks returns all webhooks and what became of their deliveries, sorted by name.
func (c *Client) Webhooks(ctx context.Context) ([]contract.WebhookStatus, error) {
	var out []contract.WebhookStatus
	err := c.ask(ctx, contract.AskWebhookList, nil, &out)
	return out, err
}

// Webhook returns one webhook, with how many events are still to be delivered, or ErrUnknownWebhook.
func (c *Client) Webhook(ctx context.Context, name string) (contract.WebhookStatus, error) {
	var out []contract.WebhookStatus
	if err := c.ask(ctx, contract.AskWebhookList, []byte(name), &out); err != nil {
		return contract.WebhookStatus{}, err
	}
	if len(out) != 1 {
		return contract.WebhookStatus{}, fmt.Errorf("%w: %q", ErrUnknownWebhook, name)
	}
	return out[0], nil
}

// ApplyWebhook publishes the document of a webhook, which must be JSON, under a name that is valid in an event, and waits for
// the answer. Problems are an error of type problem.List.
func (c *Client) ApplyWebhook(ctx context.Context, name string, document []byte) (*contract.WebhookApplied, error) {
	return webhookAnswer[contract.WebhookApplied](ctx, c, contract.TypeWebhookApply, name, document)
}

// RemoveWebhook removes a webhook, or returns ErrUnknownWebhook.
func (c *Client) RemoveWebhook(ctx context.Context, name string) error {
	_, err := webhookAnswer[contract.WebhookRemoved](ctx, c, contract.TypeWebhookRemove, name, &contract.WebhookRemove{Name: name})
	return err
}

// RotateWebhook gives a webhook a new key, or returns ErrUnknownWebhook.
func (c *Client) RotateWebhook(ctx context.Context, name string) (*contract.WebhookRotated, error) {
	return webhookAnswer[contract.WebhookRotated](ctx, c, contract.TypeWebhookRotate, name, &contract.WebhookRotate{Name: name})
}

// TestWebhook sends a test to the receiver of a webhook, and waits until that has ended. It returns ErrUnknownWebhook if there is
// no such webhook.
func (c *Client) TestWebhook(ctx context.Context, name string) (*contract.WebhookTested, error) {
	return webhookAnswer[contract.WebhookTested](ctx, c, contract.TypeWebhookTest, name, &contract.WebhookTest{Name: name})
}

// webhookAnswer publishes a command about a webhook, and returns its answer.
func webhookAnswer[A any](ctx context.Context, c *Client, t contract.Type, name string, data any) (*A, error) {
	e := event.New(t, c.source, name, data, time.Now())
	e.ID = string(t) + "." + name + "." + nuid.Next()
	answer, err := c.answered(ctx, e)
	var problems problem.List
	if errors.As(err, &problems) && problems[0].Code == problem.UnknownWebhook {
		return nil, fmt.Errorf("%w: %q", ErrUnknownWebhook, name)
	}
	if err != nil {
		return nil, err
	}
	a, ok := answer.(*A)
	if !ok {
		return nil, fmt.Errorf("%s of %s: unexpected answer: %T", t, name, answer)
	}
	return a, nil
}
