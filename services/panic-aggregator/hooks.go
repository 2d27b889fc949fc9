package aggregator

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/problem"
	"github.com/dagyo/dagyo/pkg/webhook"
)

// keyHooks is the key of all commands about webhooks: they are answered one after another, since each counts for the limit.
const keyHooks = " webhooks"

const (
	// hooksMost bounds the webhooks of a tenant.
	hooksMost = 16
	// hookTests bounds the tests that wait for their end.
	hookTests = 16
	// keyOverlap is how long a key is used after it was replaced, keysReplaced how many of these a webhook may have.
	keyOverlap   = 7 * 24 * time.Hour
	keysReplaced = 2
	// hookBytes bounds the document of a webhook.
	hookBytes = 64 << 10
)

// hooks are the webhooks of a tenant, and the commands about them that have no answer.
type hooks struct {
	// of is never changed in place, so that it may be read without the lock on the state.
	of map[string]webhook.Entry
	// Seq is the place in EVENTS of the last change.
	Seq uint64
	// pending are the commands without an answer, in order, but for tests in flight.
	pending []hookCommand
	tests   []hookCommand
}

// A hookCommand is a command about a webhook.
type hookCommand struct {
	Seq      uint64           `json:"seq"`
	Type     contract.Type    `json:"type"`
	Name     string           `json:"name"`
	By       string           `json:"by,omitempty"`
	Document webhook.Document `json:"document,omitzero"`
	Problems problem.List     `json:"problems,omitempty"`
}

// storedHooks is the stored form of hooks, in snapshots and in the bucket, where it has no commands.
type storedHooks struct {
	Webhooks map[string]webhook.Entry `json:"webhooks"`
	Seq      uint64                   `json:"seq"`
	Pending  []hookCommand            `json:"pending,omitempty"`
	Tests    []hookCommand            `json:"tests,omitempty"`
}

func (h *hooks) stored() storedHooks {
	return storedHooks{h.of, h.Seq, slices.Clone(h.pending), slices.Clone(h.tests)}
}

func (h *hooks) restore(s storedHooks) {
	*h = hooks{of: s.Webhooks, Seq: s.Seq, pending: s.Pending, tests: s.Tests}
	if h.of == nil {
		h.of = make(map[string]webhook.Entry)
	}
}

// fold folds an event about a webhook.
func (h *hooks) fold(e contract.Event) []string {
	switch e.Data.(type) {
	case *contract.WebhookApplied, *contract.WebhookRemoved, *contract.WebhookRotated, *contract.WebhookDisabled:
		if e.Seq <= h.Seq {
			return h.answered(e.Cause) // the bucket has this change
		}
	}
	switch d := e.Data.(type) {
	case *contract.WebhookApplied:
		h.applied(e, d)
	case *contract.WebhookRemoved:
		h.change(e, func(all map[string]webhook.Entry) { delete(all, e.Subject) })
	case *contract.WebhookRotated:
		h.rotated(e, d)
	case *contract.WebhookDisabled:
		h.with(e, func(w *webhook.Entry) { w.Disabled = d.Reason })
		return nil // it answers no command
	case *contract.WebhookTested, *contract.WebhookRejected:
	default:
		h.await(e)
		return []string{keyHooks}
	}
	return h.answered(e.Cause)
}

// await records a command. A document is checked at once, so that it need not be kept if it has problems.
func (h *hooks) await(e contract.Event) {
	c := hookCommand{Seq: e.Seq, Type: e.Type, Name: e.Subject, By: e.By, Problems: e.Problems}
	if e.Type == contract.TypeWebhookApply && len(c.Problems) == 0 {
		limits := document.DefaultLimits()
		limits.Bytes = hookBytes
		c.Document, c.Problems = webhook.Check(e.Raw, limits)
		if len(c.Problems) == 0 && c.Document.Name != e.Subject {
			c.Problems = problem.List{{
				Code: problem.BadName, Pointer: "/name",
				Message: fmt.Sprintf("the document is named %q, but the event's subject is %q", c.Document.Name, e.Subject),
				Hint:    "omit the CloudEvents subject, or set it to the webhook's name",
			}}
		}
	}
	if e.Type == contract.TypeWebhookTest && len(c.Problems) == 0 {
		c.Problems = h.untestable(c)
	}
	if e.Type == contract.TypeWebhookTest && len(c.Problems) == 0 {
		h.tests = append(slices.Clip(h.tests), c)
		return
	}
	h.pending = append(slices.Clip(h.pending), c)
}

// untestable returns why a webhook cannot be tested now.
func (h *hooks) untestable(c hookCommand) problem.List {
	w, known := h.of[c.Name]
	switch {
	case !known:
		return h.unknown(c.Name)
	case w.Disabled != "":
		return problem.List{{
			Code: problem.NotAnswerable, Message: fmt.Sprintf("webhook %q is switched off: %s", c.Name, w.Disabled), Hint: "apply it again",
		}}
	case len(h.tests) >= hookTests:
		return problem.List{{
			Code: problem.TooMany, Message: fmt.Sprintf("%d tests have not ended; the limit is %d", len(h.tests), hookTests), Hint: "try again in a moment",
		}}
	}
	return nil
}

func (h *hooks) unknown(name string) problem.List {
	return problem.List{{
		Code: problem.UnknownWebhook, Pointer: "/name", Message: fmt.Sprintf("webhook %q not found", name),
		Hint: document.Suggest(name, slices.Sorted(maps.Keys(h.of))),
	}}
}

// applied switches a webhook on, or changes it. One that was off begins anew.
func (h *hooks) applied(e contract.Event, d *contract.WebhookApplied) {
	before, known := h.of[e.Subject]
	if !known && len(h.of) >= hooksMost {
		return // nobody but the panic-aggregator may publish it
	}
	now := webhook.Entry{Document: d.Document, Since: before.Since, On: before.On, Keys: before.Keys, By: d.By, At: e.Time}
	if !known {
		now.Keys = []webhook.Key{{Serial: e.Cause}}
	}
	if !known || before.Disabled != "" {
		now.Since, now.On = e.Seq, e.Time
	}
	now.Document.Name = e.Subject
	h.change(e, func(all map[string]webhook.Entry) { all[e.Subject] = now })
}

// rotated adds a key to a webhook.
func (h *hooks) rotated(e contract.Event, d *contract.WebhookRotated) {
	h.with(e, func(w *webhook.Entry) {
		keys := []webhook.Key{{Serial: e.Cause}}
		for _, k := range w.ValidKeys(e.Time) {
			if k.Until.IsZero() {
				k.Until = d.Until
			}
			keys = append(keys, k)
		}
		w.Keys = keys[:min(len(keys), 1+keysReplaced)]
	})
}

// with changes the webhook that an event is about, if there is one.
func (h *hooks) with(e contract.Event, f func(*webhook.Entry)) {
	w, known := h.of[e.Subject]
	if !known {
		return
	}
	f(&w)
	h.change(e, func(all map[string]webhook.Entry) { all[e.Subject] = w })
}

func (h *hooks) change(e contract.Event, f func(map[string]webhook.Entry)) {
	h.of = maps.Clone(h.of)
	f(h.of)
	h.Seq = e.Seq
	// A test of a webhook that is not on any more has no end.
	h.tests = slices.DeleteFunc(slices.Clone(h.tests), func(c hookCommand) bool {
		if w, known := h.of[c.Name]; known && w.Disabled == "" {
			return false
		}
		c.Problems = h.untestable(c)
		h.pending = append(slices.Clip(h.pending), c)
		return true
	})
}

// answered drops the command at a place of EVENTS.
func (h *hooks) answered(seq uint64) []string {
	is := func(c hookCommand) bool { return c.Seq == seq }
	h.pending = slices.DeleteFunc(slices.Clone(h.pending), is)
	h.tests = slices.DeleteFunc(slices.Clone(h.tests), is)
	return []string{keyHooks}
}

// decide answers the first command. Its key is added when it is performed.
func (h *hooks) decide(now time.Time) []contract.Event {
	if len(h.pending) == 0 {
		return nil
	}
	c := h.pending[0]
	answer := h.answer(c, now)
	answer.Subject, answer.Cause = c.Name, c.Seq
	return []contract.Event{answer}
}

func (h *hooks) answer(c hookCommand, now time.Time) contract.Event {
	w, known := h.of[c.Name]
	problems := c.Problems
	switch {
	case len(problems) > 0:
	case c.Type == contract.TypeWebhookApply:
		if known {
			return contract.Event{
				Type: contract.TypeWebhookApplied, With: w.Keys[0].Serial,
				Data: &contract.WebhookApplied{Name: c.Name, Document: c.Document, By: c.By},
			}
		}
		if len(h.of) < hooksMost {
			return contract.Event{
				Type: contract.TypeWebhookApplied, With: c.Seq,
				Data: &contract.WebhookApplied{Name: c.Name, Document: c.Document, By: c.By},
			}
		}
		problems = problem.List{{
			Code: problem.TooMany, Message: fmt.Sprintf("there are %d webhooks; the limit is %d", len(h.of), hooksMost),
			Hint: "remove one, or send from one receiver to several",
		}}
	case !known:
		problems = h.unknown(c.Name)
	case c.Type == contract.TypeWebhookRemove:
		return contract.Event{Type: contract.TypeWebhookRemoved, Data: &contract.WebhookRemoved{Name: c.Name, By: c.By}}
	case len(w.ValidKeys(now)) > keysReplaced:
		problems = problem.List{{
			Code: problem.TooMany, Message: fmt.Sprintf("%d keys of webhook %q are still used beside the newest one", keysReplaced, c.Name),
			Hint: "wait until one of them has expired: `dagyo webhook show` has the time",
		}}
	default:
		return contract.Event{
			Type: contract.TypeWebhookRotated, With: c.Seq,
			Data: &contract.WebhookRotated{Name: c.Name, Until: now.Add(keyOverlap).UTC(), By: c.By},
		}
	}
	return contract.Event{
		Type: contract.TypeWebhookRejected, Data: &contract.WebhookRejected{Name: c.Name, Problems: problems, By: c.By},
	}
}

// switchOff returns the event that switches a webhook off, unless it is off, or was off since a place in EVENTS.
func (h *hooks) switchOff(name string, since uint64, reason string) []contract.Event {
	w, known := h.of[name]
	if !known || w.Disabled != "" || w.Since != since {
		return nil
	}
	return []contract.Event{{
		Type: contract.TypeWebhookDisabled, Subject: name, Data: &contract.WebhookDisabled{Name: name, Reason: reason},
	}}
}

// tested returns the answer to a test, unless it has one.
func (h *hooks) tested(seq uint64, d contract.WebhookTested) []contract.Event {
	i := slices.IndexFunc(h.tests, func(c hookCommand) bool { return c.Seq == seq })
	if i < 0 {
		return nil
	}
	d.Name, d.By = h.tests[i].Name, h.tests[i].By
	return []contract.Event{{Type: contract.TypeWebhookTested, Subject: d.Name, Cause: seq, Data: &d}}
}
