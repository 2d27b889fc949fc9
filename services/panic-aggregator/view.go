package aggregator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/service"
)

// shown are the events of which the status view is made.
func shown() []contract.Type {
	var out []contract.Type
	for _, e := range contract.Table {
		if e.Of == contract.OfFlow || e.Of == contract.OfJob {
			out = append(out, e.Type)
		}
	}
	return out
}

// keepStatus keeps the bucket "flows" true to EVENTS. The next leader goes on where the last one stopped.
func keepStatus(ctx context.Context, r *service.Runtime[State]) error {
	kv, err := r.Link().JS.KeyValue(ctx, contract.BucketFlows)
	if err != nil {
		return fmt.Errorf("open the status view: %w", err)
	}
	v := view{kv: kv, known: make(map[string]entry)}
	return r.Follow(ctx, Name+"-status", statusDelay, func(events []contract.Event) error {
		return v.write(ctx, events)
	})
}

// A view is the bucket, and what this replica has last written into it.
type view struct {
	kv    jetstream.KeyValue
	known map[string]entry
}

type entry struct {
	status   contract.FlowStatus
	revision uint64
}

// knownLimit bounds the statuses that are remembered; one that is not is read again.
const knownLimit = 2000

// write merges the events into the statuses of their flows.
func (v *view) write(ctx context.Context, events []contract.Event) error {
	flows := make(map[string][]contract.Event)
	for _, e := range events {
		flows[e.Subject] = append(flows[e.Subject], e)
	}
	for flow, events := range flows {
		if err := v.merge(ctx, flow, events); err != nil {
			return fmt.Errorf("status of flow %s: %w", flow, err)
		}
	}
	pause(ctx, min(time.Duration(len(flows))*restPerFlow, mostRest))
	return nil
}

// When many flows change at once the view takes its time: each flow is then written less often.
const (
	restPerFlow = 4 * time.Millisecond
	mostRest    = 400 * time.Millisecond
)

// merge adds the events to the flow's stored status, however many replicas do so at once.
func (v *view) merge(ctx context.Context, flow string, events []contract.Event) error {
	have, err := v.load(ctx, flow, events[0].Type == contract.TypeFlowSubmit)
	for err == nil {
		for _, e := range events {
			have.status = With(have.status, e)
		}
		if have.revision, err = v.store(ctx, flow, have); err == nil {
			v.remember(flow, have)
			return nil
		}
		delete(v.known, flow)
		if errors.Is(err, jetstream.ErrKeyRevisionMismatch) {
			have, err = v.load(ctx, flow, false)
		}
	}
	return err
}

// load returns the stored status. Of a flow that is new there is none, most likely; storing finds out.
func (v *view) load(ctx context.Context, flow string, isNew bool) (entry, error) {
	if have, ok := v.known[flow]; ok || isNew {
		return have, nil
	}
	stored, err := v.kv.Get(ctx, flow)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return entry{}, nil
	}
	if err != nil {
		return entry{}, err
	}
	have := entry{revision: stored.Revision()}
	return have, json.Unmarshal(stored.Value(), &have.status)
}

func (v *view) store(ctx context.Context, flow string, e entry) (revision uint64, err error) {
	body, err := json.Marshal(e.status)
	if err != nil {
		return 0, err
	}
	return v.kv.Update(ctx, flow, body, e.revision)
}

// remember keeps the status until the flow's last event.
func (v *view) remember(flow string, e entry) {
	if e.status.Phase == contract.TypeFlowCleaned {
		delete(v.known, flow)
		return
	}
	if len(v.known) >= knownLimit {
		clear(v.known)
	}
	v.known[flow] = e
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
