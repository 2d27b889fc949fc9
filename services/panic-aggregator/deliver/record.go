package deliver

import (
	"sync"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/metrics"
	"github.com/dagyo/dagyo/pkg/webhook"
)

// A record counts what becomes of deliveries, by webhook. It is stored now and then, so that a new leader continues it.
type record struct {
	mu    sync.Mutex
	of    map[string]*contract.WebhookDeliveries
	dirty bool
	meter metrics.Meter
}

func newRecord(stored map[string]contract.WebhookDeliveries, meter metrics.Meter) *record {
	r := &record{of: make(map[string]*contract.WebhookDeliveries), meter: meter}
	for name, d := range stored {
		r.of[name] = &d
	}
	return r
}

// note counts an attempt for an event.
func (r *record) note(name string, a contract.WebhookAttempt, did Action) {
	r.count(name, func(d *contract.WebhookDeliveries) {
		if did == Done {
			d.Delivered++
			d.LastDelivery = &a
			r.meter.Add(metrics.WebhookAttempts, "delivered")
			return
		}
		d.Failed++
		d.LastFailure = &a
		r.meter.Add(metrics.WebhookAttempts, "failed")
		if did == GiveUp {
			r.giveUp(d)
		}
	})
}

// expire counts an event that is given up without another attempt.
func (r *record) expire(name string, a contract.WebhookAttempt) {
	r.count(name, func(d *contract.WebhookDeliveries) {
		d.LastFailure = &a
		r.giveUp(d)
	})
}

func (r *record) giveUp(d *contract.WebhookDeliveries) {
	d.GivenUp++
	r.meter.Add(metrics.WebhooksGivenUp)
}

// count changes the counts of a webhook.
func (r *record) count(name string, f func(*contract.WebhookDeliveries)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.of[name] == nil {
		r.of[name] = new(contract.WebhookDeliveries)
	}
	f(r.of[name])
	r.dirty = true
}

// retain forgets webhooks that have been removed.
func (r *record) retain(known func(name string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.of {
		if !known(name) {
			delete(r.of, name)
			r.dirty = true
		}
	}
}

// changed returns the whole record if it has changed since the last call.
func (r *record) changed() (all map[string]contract.WebhookDeliveries, dirty bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.dirty {
		return nil, false
	}
	r.dirty = false
	all = make(map[string]contract.WebhookDeliveries, len(r.of))
	for name, d := range r.of {
		all[name] = *d
	}
	return all, true
}

// failing counts the webhooks that are on and whose last attempt has failed.
func (r *record) failing(all map[string]webhook.Entry) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, d := range r.of {
		if e, known := all[name]; known && e.Disabled == "" && d.Failing() {
			n++
		}
	}
	return n
}

// unrecorded notes that the last changed record could not be stored.
func (r *record) unrecorded() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dirty = true
}
