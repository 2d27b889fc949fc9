package deliver

import (
	"context"
	"crypto/x509"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/egress"
	"github.com/dagyo/dagyo/pkg/metrics"
	"github.com/dagyo/dagyo/pkg/webhook"
)

// Config configures a Deliverer.
type Config struct {
	Limits  Limits
	Storage Storage
	// Rules returns the addresses that are allowed although they are not public.
	Rules func() egress.Rules `json:"-"`
	// Roots are the authorities of receivers, nil for those of the system.
	Roots *x509.CertPool `json:"-"`
}

// An About is what the filters of webhooks need to know about a flow.
type About struct {
	Owner    string
	Progdefs []string
}

// Hooks are what a Deliverer calls.
type Hooks struct {
	// Entry returns the current version of a webhook.
	Entry func(name string) (e webhook.Entry, known bool)
	// Flow returns what is known about a flow; found is false if it is not known any more.
	Flow func(ctx context.Context, flow string) (about About, found bool, err error)
	// SwitchOff publishes that a webhook, on since a place in EVENTS, is switched off.
	SwitchOff func(ctx context.Context, name string, since uint64, reason string) error
	// Tested publishes how the receiver answered the test at a place in EVENTS.
	Tested func(ctx context.Context, test Test, r Result) error
}

// A Test is a command to test a webhook.
type Test struct {
	Seq  uint64
	Name string
}

// A Deliverer delivers to the webhooks of a tenant, in the leading replica. Its methods are called by one goroutine, but for
// Failing.
type Deliverer struct {
	link   *broker.Link
	js     jetstream.JetStream
	config Config
	secret webhook.Secret
	hooks  Hooks
	log    zerolog.Logger
	poster *poster
	record *record

	//nolint:containedctx // that of the goroutines, which end with the Deliverer
	ctx     context.Context
	stop    context.CancelFunc
	working sync.WaitGroup
	workers map[string]*worker // by name of the webhook
	tests   map[uint64]bool    // those that were begun, by place in EVENTS
	tested  chan uint64
	// tidied is true once nothing is left of other webhooks than those of workers; before, tidying is due at a time.
	tidied bool
	due    time.Time
}

// New returns a Deliverer. stored is what the leader before it has recorded. The caller must close it.
func New(
	link *broker.Link, c Config, secret webhook.Secret, h Hooks, stored map[string]contract.WebhookDeliveries,
	log zerolog.Logger, meter metrics.Meter,
) *Deliverer {
	d := &Deliverer{
		link: link, js: link.JS, config: c, secret: secret, hooks: h, log: log, poster: newPoster(c.Rules, c.Roots, c.Limits.Timeout),
		record: newRecord(stored, meter), workers: make(map[string]*worker), tests: make(map[uint64]bool),
		tested: make(chan uint64, testsAtOnce),
	}
	d.ctx, d.stop = context.WithCancel(context.Background())
	return d
}

// Close ends all deliveries. Those in flight are tried again by the next leader.
func (d *Deliverer) Close() {
	d.stop()
	for _, w := range d.workers {
		w.end()
	}
	d.working.Wait()
	d.poster.close()
}

// Failing counts the webhooks that are on and whose last attempt has failed.
func (d *Deliverer) Failing(all map[string]webhook.Entry) int { return d.record.failing(all) }

// Unrecorded notes that what Changed has returned could not be stored.
func (d *Deliverer) Unrecorded() { d.record.unrecorded() }

// Changed returns what became of all deliveries if that has changed since the last call.
func (d *Deliverer) Changed() (all map[string]contract.WebhookDeliveries, changed bool) {
	return d.record.changed()
}

// tidyPause is the pause before another attempt to tidy.
const tidyPause = 5 * time.Second

// Sync delivers to these webhooks, those that are switched off excepted, and to no others.
func (d *Deliverer) Sync(all map[string]webhook.Entry) {
	wanted := make(map[string]bool)
	first := uint64(0)
	for _, e := range all {
		if e.Disabled == "" && (first == 0 || e.Since < first) {
			first = e.Since
		}
	}
	for name, w := range d.workers {
		if e, known := all[name]; !known || e.Disabled != "" || !w.suits(e) {
			w.end()
			delete(d.workers, name)
			d.tidied = false
		}
	}
	for name, e := range all {
		if e.Disabled != "" {
			continue
		}
		wanted[consumerName(e)] = true
		if d.workers[name] == nil {
			d.workers[name] = d.begin(e, first)
		}
	}
	d.record.retain(func(name string) bool { _, known := all[name]; return known })
	if now := time.Now(); !d.tidied && now.After(d.due) {
		ctx, cancel := context.WithTimeout(d.ctx, tidyPause)
		err := d.tidy(ctx, wanted)
		cancel()
		if err != nil && d.ctx.Err() == nil {
			d.log.Warn().Err(err).Msg("cannot delete what is left of removed webhooks; trying again")
		}
		d.tidied, d.due = err == nil, now.Add(tidyPause)
	}
}

// begin starts a worker.
func (d *Deliverer) begin(e webhook.Entry, first uint64) *worker {
	w := &worker{d: d, name: e.Document.Name, began: e, first: first, large: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(d.ctx)
	var running sync.WaitGroup
	running.Go(func() { w.run(ctx) })
	w.end = func() { cancel(); running.Wait() }
	return w
}

// testsAtOnce bounds the tests in flight.
const testsAtOnce = 4

// Collect forgets the tests that have ended. The caller looks for tests to begin after that: those that were answered are not
// among them.
func (d *Deliverer) Collect() {
	for {
		select {
		case seq := <-d.tested:
			delete(d.tests, seq)
		default:
			return
		}
	}
}

// Test sends a test to the receiver of a webhook, unless it has begun or too many are in flight: then the caller calls again.
func (d *Deliverer) Test(t Test, e webhook.Entry) {
	if d.tests[t.Seq] || len(d.tests) >= testsAtOnce {
		return
	}
	d.tests[t.Seq] = true
	d.working.Go(func() {
		defer func() { d.tested <- t.Seq }()
		err := d.hooks.Tested(d.ctx, t, d.test(t, e))
		if err != nil && d.ctx.Err() == nil && !errors.Is(err, context.Canceled) {
			d.log.Warn().Err(err).Str("webhook", t.Name).Msg("cannot publish how a test has ended; testing again")
		}
	})
}
