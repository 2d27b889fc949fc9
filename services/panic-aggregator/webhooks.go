package aggregator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	"github.com/dagyo/dagyo/pkg/egress"
	"github.com/dagyo/dagyo/pkg/metrics"
	"github.com/dagyo/dagyo/pkg/service"
	"github.com/dagyo/dagyo/pkg/webhook"
	"github.com/dagyo/dagyo/services/panic-aggregator/deliver"
)

// Keys of the bucket of webhooks: all webhooks, and what became of their deliveries.
const (
	keyOfHooks      = "webhooks"
	keyOfDeliveries = "deliveries"
)

const (
	// syncEvery is the time between two looks at the webhooks and their tests, recordEvery the least time between two
	// stored records of deliveries.
	syncEvery   = 500 * time.Millisecond
	recordEvery = time.Second
	// bucketWait bounds a request to the bucket.
	bucketWait = 5 * time.Second
)

// openHooks opens the bucket, and returns what it holds.
func (w *wiring) openHooks(ctx context.Context) (s storedHooks, err error) {
	if w.bucket, err = broker.Webhooks(ctx, w.link.JS, w.config.Broker); err != nil {
		return s, err
	}
	_, err = read(ctx, w.bucket, keyOfHooks, &s)
	return s, err
}

// read reads a value of the bucket, and returns its revision, 0 if there is none.
func read(ctx context.Context, kv jetstream.KeyValue, key string, into any) (revision uint64, err error) {
	stored, err := kv.Get(ctx, key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read %s of bucket %s: %w", key, kv.Bucket(), err)
	}
	if err := json.Unmarshal(stored.Value(), into); err != nil {
		return 0, fmt.Errorf("read %s of bucket %s: %w", key, kv.Bucket(), err)
	}
	return stored.Revision(), nil
}

// keyed adds the public key to an answer about a webhook.
func (w *wiring) keyed(e contract.Event) (contract.Event, error) {
	key, err := w.hookSecret.Public(e.Subject, e.With.(uint64))
	switch d := e.Data.(type) {
	case *contract.WebhookApplied:
		d = new(*d)
		d.Key, e.Data = key, d
	case *contract.WebhookRotated:
		d = new(*d)
		d.Key, e.Data = key, d
	}
	return e, err
}

// rules returns the addresses that webhooks may have although they are not public.
func (w *wiring) rules() egress.Rules {
	allow := w.config.LocalWebhooks
	if p := w.config.Policy.Get(); p != nil && p.Webhooks.Allow != nil {
		allow = p.Webhooks.Allow
	}
	rules, _ := egress.Parse(allow) // the policy is checked
	return rules
}

// deliver delivers to webhooks while this replica leads.
func (w *wiring) deliver(ctx context.Context, r *service.Runtime[*State]) error {
	d, err := w.deliverer(ctx, r)
	if err != nil {
		return nil // the term has ended
	}
	w.delivering.Store(d)
	kept, recorded := uint64(0), time.Time{}
	service.Every(ctx, syncEvery, func() {
		d.Collect()
		var all storedHooks
		r.Read(func(s *State) { all = s.hooks.stored() })
		d.Sync(all.Webhooks)
		for _, t := range all.Tests {
			if e, known := all.Webhooks[t.Name]; known {
				d.Test(deliver.Test{Seq: t.Seq, Name: t.Name}, e)
			}
		}
		if all.Seq > kept {
			if err := w.keep(ctx, all); err == nil {
				kept = all.Seq
			} else if ctx.Err() == nil {
				r.Log().Warn().Err(err).Msg("cannot store the webhooks; trying again")
			}
		}
		if now := time.Now(); now.Sub(recorded) >= recordEvery {
			recorded = now
			w.recordDeliveries(ctx, d)
		}
	})
	w.delivering.Store(nil)
	d.Close()
	w.recordDeliveries(context.WithoutCancel(ctx), d)
	return nil
}

// deliverer returns a Deliverer that continues what the leader before has recorded. It fails only if the context ends.
func (w *wiring) deliverer(ctx context.Context, r *service.Runtime[*State]) (*deliver.Deliverer, error) {
	stored := make(map[string]contract.WebhookDeliveries)
	for {
		reading, cancel := context.WithTimeout(ctx, bucketWait)
		_, err := read(reading, w.bucket, keyOfDeliveries, &stored)
		cancel()
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		r.Log().Warn().Err(err).Msg("cannot read what became of the deliveries to webhooks; trying again")
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	c := w.config.Webhooks
	events := w.config.Broker
	c.Rules, c.Storage = w.rules, deliver.Storage{Replicas: events.Replicas, Bytes: events.EventsMaxBytes / 4, EventsAge: events.EventsMaxAge}
	return deliver.New(r.Link(), c, w.hookSecret, deliver.Hooks{
		Entry: func(name string) (e webhook.Entry, known bool) {
			r.Read(func(s *State) { e, known = s.hooks.of[name] })
			return e, known
		},
		Flow: func(ctx context.Context, flow string) (deliver.About, bool, error) { return w.aboutFlow(ctx, r, flow) },
		SwitchOff: func(ctx context.Context, name string, since uint64, reason string) error {
			return r.Publish(ctx, func(s *State) []contract.Event { return s.hooks.switchOff(name, since, reason) })
		},
		Tested: func(ctx context.Context, t deliver.Test, x deliver.Result) error {
			return r.Publish(ctx, func(s *State) []contract.Event {
				return s.hooks.tested(t.Seq, contract.WebhookTested{
					Delivered: x.Delivered(), Status: x.Status, Error: x.Error, Took: document.Duration(x.Took.Round(time.Millisecond)),
				})
			})
		},
	}, stored, *r.Log(), r.Meter()), nil
}

// keep stores the webhooks in the bucket, unless it has a later state of them. A start without a snapshot begins with it.
func (w *wiring) keep(ctx context.Context, all storedHooks) error {
	ctx, cancel := context.WithTimeout(ctx, bucketWait)
	defer cancel()
	var stored storedHooks
	revision, err := read(ctx, w.bucket, keyOfHooks, &stored)
	if err != nil || stored.Seq >= all.Seq {
		return err
	}
	all.Pending, all.Tests = nil, nil
	body, err := json.Marshal(all)
	if err != nil {
		return err
	}
	_, err = w.bucket.Update(ctx, keyOfHooks, body, revision)
	return err
}

// recordDeliveries stores what became of the deliveries. An error only delays it.
func (w *wiring) recordDeliveries(ctx context.Context, d *deliver.Deliverer) {
	all, changed := d.Changed()
	if !changed {
		return
	}
	body, err := json.Marshal(all)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, bucketWait)
	defer cancel()
	if _, err := w.bucket.Put(ctx, keyOfDeliveries, body); err != nil {
		d.Unrecorded()
	}
}

// aboutFlow returns what the filters of webhooks need to know about a flow.
func (w *wiring) aboutFlow(ctx context.Context, r *service.Runtime[*State], flow string) (about deliver.About, found bool, err error) {
	of := func(s contract.FlowStatus) {
		about.Owner = s.Owner
		for _, j := range s.Jobs {
			about.Progdefs = append(about.Progdefs, j.Progdef)
		}
	}
	r.Read(func(s *State) {
		var status contract.FlowStatus
		if status, found = s.status(flow); found {
			of(status)
		}
	})
	if found {
		return about, true, nil
	}
	if err := w.loaded(ctx); err != nil {
		return about, false, err
	}
	status, found, err := w.index.Get(ctx, flow)
	of(status)
	return about, found, err
}

// askHooks answers the webhooks, or the named one, and what became of their deliveries.
func (w *wiring) askHooks(s *State, name []byte) (any, error) {
	entries := s.hooks.of
	return service.Later(func(ctx context.Context) (any, error) {
		recorded := make(map[string]contract.WebhookDeliveries)
		if _, err := read(ctx, w.bucket, keyOfDeliveries, &recorded); err != nil {
			return nil, err
		}
		out := []contract.WebhookStatus{}
		for _, each := range slices.Sorted(maps.Keys(entries)) {
			if len(name) > 0 && each != string(name) {
				continue
			}
			status, err := w.hookStatus(entries[each], time.Now())
			if err != nil {
				return nil, err
			}
			status.WebhookDeliveries = recorded[each]
			if len(name) > 0 && status.Disabled == "" {
				if pending, err := deliver.Pending(ctx, w.link.JS, entries[each]); err == nil {
					status.Pending = &pending
				}
			}
			out = append(out, status)
		}
		return out, nil
	}), nil
}

func (w *wiring) hookStatus(e webhook.Entry, now time.Time) (contract.WebhookStatus, error) {
	out := contract.WebhookStatus{Document: e.Document, By: e.By, At: e.At, Disabled: e.Disabled}
	for _, k := range e.ValidKeys(now) {
		text, err := w.hookSecret.Public(e.Document.Name, k.Serial)
		if err != nil {
			return out, err
		}
		out.Keys = append(out.Keys, contract.WebhookKey{Key: text, Until: k.Until})
	}
	return out, nil
}

// hookGauges observes the webhooks by their state.
func (w *wiring) hookGauges(s *State, observe metrics.Observe) {
	on, off := 0, 0
	for _, e := range s.hooks.of {
		if e.Disabled == "" {
			on++
		} else {
			off++
		}
	}
	failing := 0
	if d := w.delivering.Load(); d != nil {
		failing = d.Failing(s.hooks.of)
	}
	observe(metrics.Webhooks, float64(on-failing), "on")
	observe(metrics.Webhooks, float64(failing), "failing")
	observe(metrics.Webhooks, float64(off), "off")
}
