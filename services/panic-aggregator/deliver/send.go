package deliver

import (
	"context"
	"strconv"
	"time"

	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/webhook"
)

// send sends an event to the receiver of a webhook.
func (d *Deliverer) send(ctx context.Context, w webhook.Entry, e contract.Event) Result {
	m, err := event.Encode(e)
	if err != nil {
		return Result{Error: err.Error()}
	}
	h, err := headers(d.secret, w, messageID(w.Document.Name, e), time.Now(), m.Data)
	if err != nil {
		return Result{Error: err.Error()}
	}
	return d.poster.post(ctx, w.Document.URL, h, m.Data)
}

// test sends a test to the receiver of a webhook.
func (d *Deliverer) test(t Test, w webhook.Entry) Result {
	return d.send(d.ctx, w, contract.Event{
		ID: string(contract.TypeWebhookTest) + "." + t.Name + "." + strconv.FormatUint(t.Seq, 10), Type: contract.TypeWebhookTest,
		Source: contract.Source("panic-aggregator"), Subject: t.Name, Time: time.Now().UTC(), Data: &contract.WebhookTest{Name: t.Name},
	})
}

// log begins a line about an attempt that has failed. The URL is without its query.
func (w *worker) log(to webhook.Entry, e contract.Event, r Result, attempt int) *zerolog.Event {
	return w.d.log.Warn().Str("webhook", w.name).Str("url", webhook.Masked(to.Document.URL)).
		Str("event", string(e.Type)).Str("flow", e.Subject).Int("attempt", attempt).Int("status", r.Status).Str("error", r.Error)
}

// wait waits for a duration, or until the context ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
