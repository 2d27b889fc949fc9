package deliver

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/webhook"
)

// A worker delivers to one webhook.
type worker struct {
	d    *Deliverer
	name string
	// began is the version of the webhook for which its consumer was made.
	began webhook.Entry
	// first is a place in EVENTS before the first verdict that any webhook wants.
	first uint64
	// large holds a token while an event with data by reference is in memory.
	large chan struct{}
	end   func() // ends it, and waits for that
}

// suits reports whether the worker's consumer is that of a version of its webhook.
func (w *worker) suits(e webhook.Entry) bool {
	return w.began.Since == e.Since && slices.Equal(w.began.Document.Events, e.Document.Events)
}

const (
	// setupWait bounds the creation of the consumer.
	setupWait = 10 * time.Second
	// brokenPause is the pause after an error of NATS; it doubles with each further one, up to brokenLongest.
	brokenPause   = 500 * time.Millisecond
	brokenLongest = 15 * time.Second
)

// run delivers until the context ends. Errors of NATS are logged, and it begins again.
func (w *worker) run(ctx context.Context) {
	for pause := brokenPause; ctx.Err() == nil; pause = min(2*pause, brokenLongest) {
		began := time.Now()
		err := w.serve(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > brokenLongest {
			pause = brokenPause
		}
		w.d.log.Warn().Err(err).Str("webhook", w.name).Msg("cannot read what is to be delivered; trying again")
		wait(ctx, pause)
	}
}

func (w *worker) serve(ctx context.Context) error {
	setup, cancel := context.WithTimeout(ctx, setupWait)
	defer cancel()
	if err := w.d.ensureStream(setup, w.first); err != nil {
		return err
	}
	consumer, err := w.d.consumer(setup, w.began)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for range atOnce {
		g.Go(func() error { return w.pull(ctx, consumer) })
	}
	return g.Wait()
}

// pull delivers one event after another.
func (w *worker) pull(ctx context.Context, consumer jetstream.Consumer) error {
	for ctx.Err() == nil {
		asking, cancel := context.WithTimeout(ctx, w.d.config.Limits.Pull)
		m, err := consumer.Next(jetstream.FetchContext(asking))
		cancel()
		switch {
		case err == nil:
			w.handle(ctx, m)
		case errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded), errors.Is(err, jetstream.ErrNoMessages): // nothing has come
		default:
			return err
		}
	}
	return ctx.Err()
}

// handle delivers one event, and tells NATS what becomes of it. If NATS does not learn it, the event is tried again.
func (w *worker) handle(ctx context.Context, m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		_ = m.Term() // it is not of a stream
		return
	}
	e, known := w.d.hooks.Entry(w.name)
	if !known || e.Disabled != "" || !w.suits(e) {
		_ = m.NakWithDelay(unreadPause) // the worker is about to end
		return
	}
	if seq := placeInEvents(m.Headers()); seq > 0 && seq <= e.Since {
		_ = m.Ack() // before the webhook was on
		return
	}
	body, header, release, err := w.read(ctx, m)
	defer release()
	if err != nil {
		w.unread(ctx, m, err)
		return
	}
	x, err := event.Decode(m.Subject(), header, body)
	if err != nil {
		w.d.log.Warn().Err(err).Str("webhook", w.name).Str("event", m.Subject()).Msg("an event cannot be read, and is not delivered")
		_ = m.Term()
		return
	}
	wants, err := w.wants(ctx, e.Document, x)
	switch {
	case err != nil:
		w.unread(ctx, m, err)
	case !wants:
		_ = m.Ack()
	default:
		w.attempt(ctx, m, e, x, int(meta.NumDelivered)) //nolint:gosec // attempts are few
	}
}

// unreadPause is the pause after an event could not be read.
const unreadPause = 5 * time.Second

// unread notes that an event could not be read this time.
func (w *worker) unread(ctx context.Context, m jetstream.Msg, err error) {
	var never *event.Unreadable
	switch {
	case ctx.Err() != nil:
		_ = m.Nak()
	case errors.As(err, &never):
		w.d.log.Warn().Err(err).Str("webhook", w.name).Str("event", m.Subject()).Msg("the data of an event is gone, and it is not delivered")
		_ = m.Term()
	default:
		w.d.log.Warn().Err(err).Str("webhook", w.name).Str("event", m.Subject()).Msg("cannot read an event; trying again")
		_ = m.NakWithDelay(unreadPause)
	}
}

// read returns the body of an event with its data. Of events that refer to their data, one is in memory at a time: release
// ends that.
func (w *worker) read(ctx context.Context, m jetstream.Msg) (body []byte, header map[string][]string, release func(), err error) {
	release = func() {}
	if _, refers, _ := event.Referenced(contract.TypeOf(m.Subject()), m.Headers(), m.Data()); refers {
		if err := w.turn(ctx, m); err != nil {
			return nil, nil, release, err
		}
		release = func() { <-w.large }
	}
	body, err = w.d.link.Resolve(ctx, m.Subject(), m.Headers(), m.Data())
	return body, m.Headers(), release, err
}

// turn waits for the turn of an event with large data. NATS learns that it is in progress.
func (w *worker) turn(ctx context.Context, m jetstream.Msg) error {
	again := time.NewTicker(slack / 2)
	defer again.Stop()
	for {
		select {
		case w.large <- struct{}{}:
			_ = m.InProgress()
			return nil
		case <-again.C:
			_ = m.InProgress() // else it is given to somebody else, too
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// wants reports whether the webhook wants an event: one that waits for another attempt may be of a type that the webhook no
// longer lists. A flow that nothing is known about any more meets no filter.
func (w *worker) wants(ctx context.Context, d webhook.Document, e contract.Event) (bool, error) {
	if !slices.Contains(d.Events, string(e.Type)) {
		return false, nil
	}
	if d.SelectsAll() {
		return true, nil
	}
	about, found, err := w.d.hooks.Flow(ctx, e.Subject)
	return found && d.Selects(about.Owner, about.Progdefs), err
}

// attempt sends an event, and tells NATS how that has ended.
func (w *worker) attempt(ctx context.Context, m jetstream.Msg, e webhook.Entry, x contract.Event, n int) {
	age := time.Since(x.Time)
	a := contract.WebhookAttempt{Flow: x.Subject, Event: x.Type, At: time.Now().UTC(), Attempt: n}
	if age > w.d.config.Limits.GiveUp {
		a.Attempt, a.Error = n-1, "it was not delivered in time"
		w.d.record.expire(w.name, a)
		w.log(e, x, Result{Error: a.Error}, n-1).Msg("an event for a webhook is given up")
		_ = m.Term()
		return
	}
	_ = m.InProgress() // reading it may have taken long
	r := w.d.send(ctx, e, x)
	if ctx.Err() != nil {
		_ = m.Nak() // whoever comes next tries it again
		return
	}
	did, pause := w.d.config.Limits.next(r, n, time.Since(x.Time), rand.Float64()) //nolint:gosec // it spreads attempts
	a.At, a.Status, a.Error = time.Now().UTC(), r.Status, r.Error
	w.d.record.note(w.name, a, did)
	switch did {
	case Done:
		_ = m.Ack()
	case Retry:
		w.log(e, x, r, n).Dur("pause", pause).Msg("an event for a webhook was not delivered; trying again")
		_ = m.NakWithDelay(pause)
	case GiveUp:
		w.log(e, x, r, n).Msg("an event for a webhook is given up")
		_ = m.Term()
	case SwitchOff:
		w.log(e, x, r, n).Msg("the receiver of a webhook is gone; the webhook is switched off")
		if err := w.d.hooks.SwitchOff(ctx, w.name, e.Since, "the receiver answered 410 "+http.StatusText(http.StatusGone)); err != nil && ctx.Err() == nil {
			w.d.log.Warn().Err(err).Str("webhook", w.name).Msg("cannot publish that a webhook is switched off; trying again")
		}
		_ = m.NakWithDelay(w.d.config.Limits.First) // if it could not be published
	}
}
