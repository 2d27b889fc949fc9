package contract

import (
	"encoding/json"
	"time"

	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/webhook"
)

// WebhookApply is the document of a webhook as sent by the user; package webhook checks it.
type WebhookApply = json.RawMessage

// WebhookRemove removes a webhook. A sender may omit Name if the event's subject is set, here and in the other commands; a
// received event always has it.
type WebhookRemove struct {
	Name string `json:"name,omitempty"`
}

// WebhookRotate gives a webhook a new key.
type WebhookRotate struct {
	Name string `json:"name,omitempty"`
}

// WebhookTest sends a test to the receiver of a webhook.
type WebhookTest struct {
	Name string `json:"name,omitempty"`
}

// WebhookApplied reports that verdicts stored after it are sent to a webhook.
type WebhookApplied struct {
	Name     string           `json:"name"`
	Document webhook.Document `json:"document"`
	// Key is the public key of its deliveries.
	Key string `json:"key"`
	// By is the user who asked for it, according to the subject of the command, here and in the other answers.
	By string `json:"by,omitempty"`
}

// WebhookRejected lists all problems of a command about a webhook.
type WebhookRejected struct {
	Name     string       `json:"name"`
	Problems problem.List `json:"problems"`
	By       string       `json:"by,omitempty"`
}

// WebhookRemoved reports that a webhook is removed.
type WebhookRemoved struct {
	Name string `json:"name"`
	By   string `json:"by,omitempty"`
}

// WebhookRotated reports the new key of a webhook. Deliveries are signed with the previous one, too, until a time.
type WebhookRotated struct {
	Name  string    `json:"name"`
	Key   string    `json:"key"`
	Until time.Time `json:"until"`
	By    string    `json:"by,omitempty"`
}

// WebhookTested reports how the receiver of a webhook answered a test.
type WebhookTested struct {
	Name      string `json:"name"`
	Delivered bool   `json:"delivered"`
	// Status is the HTTP status, 0 if there was no answer; Error is "" if the test was delivered.
	Status int               `json:"status,omitempty"`
	Error  string            `json:"error,omitempty"`
	Took   document.Duration `json:"took"`
	By     string            `json:"by,omitempty"`
}

// WebhookDisabled reports that a webhook is switched off, until it is applied again.
type WebhookDisabled struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// A WebhookStatus is a webhook, and what became of its deliveries: an element of the answer to AskWebhookList.
type WebhookStatus struct {
	Document webhook.Document `json:"document"`
	// Keys are the public keys of its signatures, the newest first.
	Keys []WebhookKey `json:"keys"`
	By   string       `json:"by,omitempty"`
	At   time.Time    `json:"at"`
	// Disabled is why it was switched off, "" if it is on.
	Disabled string `json:"disabled,omitempty"`
	WebhookDeliveries
	// Pending is how many events are still to be delivered, including those that its filters leave out; nil if not known.
	Pending *uint64 `json:"pending,omitempty"`
}

// A WebhookKey is a public key of a webhook.
type WebhookKey struct {
	Key string `json:"key"`
	// Until is until when deliveries are signed with it, zero if it was not replaced.
	Until time.Time `json:"until,omitzero"`
}

// WebhookDeliveries is what became of the deliveries of a webhook.
type WebhookDeliveries struct {
	Delivered uint64 `json:"delivered"`
	// Failed counts attempts, GivenUp events that are not tried again.
	Failed       uint64          `json:"failed"`
	GivenUp      uint64          `json:"givenUp"`
	LastDelivery *WebhookAttempt `json:"lastDelivery,omitempty"`
	LastFailure  *WebhookAttempt `json:"lastFailure,omitempty"`
}

// Failing reports whether the last attempt has failed.
func (d WebhookDeliveries) Failing() bool {
	return d.LastFailure != nil && (d.LastDelivery == nil || d.LastFailure.At.After(d.LastDelivery.At))
}

// A WebhookAttempt is an attempt to deliver an event.
type WebhookAttempt struct {
	Flow  string    `json:"flow"`
	Event Type      `json:"event"`
	At    time.Time `json:"at"`
	// Attempt is its number, from 1.
	Attempt int    `json:"attempt,omitempty"`
	Status  int    `json:"status,omitempty"`
	Error   string `json:"error,omitempty"`
}
