package report

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/webhook"
)

// Webhooks writes a table of webhooks. URLs are without their queries.
func Webhooks(w io.Writer, all []contract.WebhookStatus) {
	rows := make([][]string, len(all))
	for i, h := range all {
		rows[i] = []string{
			h.Document.Name, webhookState(h), fmt.Sprint(h.Delivered), fmt.Sprint(h.GivenUp), strings.Join(h.Document.Events, ", "),
			clean(webhook.Masked(h.Document.URL)),
		}
	}
	t := table{w: w, heading: []string{"WEBHOOK", "STATE", "DELIVERED", "GIVEN UP", "EVENTS", "URL"}}
	t.addAll(rows)
}

func webhookState(h contract.WebhookStatus) string {
	switch {
	case h.Disabled != "":
		return "off"
	case h.Failing():
		return "failing"
	}
	return "on"
}

// Webhook writes one webhook in full.
func Webhook(w io.Writer, h contract.WebhookStatus, now time.Time) {
	d := h.Document
	fmt.Fprintf(w, "webhook %s, applied %s%s\n", d.Name, h.At.Format(time.RFC3339), by(h.By))
	line := func(name, text string) { fmt.Fprintf(w, "  %-10s %s\n", name, text) }
	line("url", clean(d.URL))
	line("events", strings.Join(d.Events, ", "))
	if len(d.Progdefs) > 0 {
		line("progdefs", strings.Join(d.Progdefs, ", "))
	}
	if len(d.Users) > 0 {
		line("users", strings.Join(d.Users, ", "))
	}
	for _, k := range h.Keys {
		text := k.Key
		if !k.Until.IsZero() {
			text += " (replaced; used until " + k.Until.Format(time.RFC3339) + ")"
		}
		line("key", text)
	}
	state := webhookState(h)
	if h.Disabled != "" {
		state += ": " + clean(h.Disabled) + "; apply it again to switch it on"
	}
	line("state", state)
	counts := fmt.Sprintf("%d delivered, %s, %d given up", h.Delivered, document.Count(int(min(h.Failed, 1<<31)), "failed attempt"), h.GivenUp) //nolint:gosec // it is bounded
	if h.Pending != nil {
		counts += fmt.Sprintf(", %d pending", *h.Pending)
	}
	line("deliveries", counts)
	if a := h.LastDelivery; a != nil {
		line("last", attempted(*a, now))
	}
	if a := h.LastFailure; a != nil {
		line("failure", attempted(*a, now)+": "+clean(a.Error))
	}
}

func attempted(a contract.WebhookAttempt, now time.Time) string {
	text := fmt.Sprintf("%s of %s, %v ago", a.Event, clean(a.Flow), max(0, now.Sub(a.At)).Round(time.Second))
	if a.Attempt > 1 {
		text += fmt.Sprintf(", attempt %d", a.Attempt)
	}
	return text
}
