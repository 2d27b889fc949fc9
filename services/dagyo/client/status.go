package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/document"
	aggregator "github.com/dagyo/dagyo/services/panic-aggregator"
)

// Flows returns the status of every flow that is remembered, the last submitted first.
func (c *Client) Flows(ctx context.Context) ([]contract.FlowStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	kv, err := c.link.JS.KeyValue(ctx, contract.BucketFlows)
	if err != nil {
		return nil, fmt.Errorf("list flows: %w", explained(err))
	}
	w, err := kv.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("list flows: %w", explained(err))
	}
	defer func() { _ = w.Stop() }()
	flows, err := gather(ctx, w.Updates())
	if err == nil {
		err = c.catchUp(ctx, flows)
	}
	return slices.SortedFunc(maps.Values(flows), func(a, b contract.FlowStatus) int {
		return cmp.Or(b.Submitted.Compare(a.Submitted), cmp.Compare(a.Flow, b.Flow))
	}), err
}

// viewLag is more than the time by which the stored view may have taken one event before another.
const viewLag = 5 * time.Second

// catchUp adds what has happened since the view was written: it follows the events by a moment, and
// by more when the panic-aggregator was away.
func (c *Client) catchUp(ctx context.Context, flows map[string]contract.FlowStatus) error {
	var start Start
	written := make(map[string]time.Time, len(flows))
	for id, s := range flows {
		written[id] = s.Updated
		if s.Updated.Add(-viewLag).After(start.Time) {
			start.Time = s.Updated.Add(-viewLag)
		}
	}
	feed, err := c.Follow(ctx, start, "flow.>", "job.>")
	if err != nil {
		return err
	}
	defer feed.Close()
	for range feed.Stored {
		e, err := feed.Next(ctx)
		if err != nil {
			return fmt.Errorf("list flows: %w", err)
		}
		id := e.Flow()
		if e.Data != nil && document.ValidName(id) && e.Time.After(written[id]) {
			flows[id] = aggregator.With(flows[id], e)
		}
	}
	return nil
}

// gather reads what is stored; a nil entry marks its end.
func gather(
	ctx context.Context, updates <-chan jetstream.KeyValueEntry,
) (map[string]contract.FlowStatus, error) {
	out := make(map[string]contract.FlowStatus)
	for {
		select {
		case entry, open := <-updates:
			if entry == nil || !open {
				return out, nil
			}
			var s contract.FlowStatus
			if err := json.Unmarshal(entry.Value(), &s); err != nil {
				return nil, fmt.Errorf("read the status of flow %s: %w", entry.Key(), err)
			}
			out[entry.Key()] = s
		case <-ctx.Done():
			return nil, fmt.Errorf("list flows: %w", context.Cause(ctx))
		}
	}
}

// Flow returns where a flow stands: what its events say, since the stored view follows them by a
// moment; the view where the events are no longer kept. The error is ErrUnknownFlow where there is
// no flow of that id.
func (c *Client) Flow(ctx context.Context, flow string) (contract.FlowStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	stored, err := c.storedStatus(ctx, flow)
	if err != nil {
		return stored, err
	}
	feed, err := c.Follow(ctx, Start{}, FlowSubjects(flow)...)
	if err != nil {
		return stored, err
	}
	defer feed.Close()
	told := contract.FlowStatus{Submitted: stored.Submitted} // that event has no subject of its own
	for range feed.Stored {
		e, err := feed.Next(ctx)
		if err != nil {
			return told, fmt.Errorf("read the events of flow %s: %w", flow, err)
		}
		if e.Data != nil {
			told = aggregator.With(told, e)
		}
	}
	switch {
	case told.Flow != "":
		return told, nil
	case stored.Flow != "":
		return stored, nil
	}
	return told, fmt.Errorf("%w: %q", ErrUnknownFlow, flow)
}

// storedStatus reads the view; a flow that is not in it (yet) has an empty status.
func (c *Client) storedStatus(
	ctx context.Context, flow string,
) (status contract.FlowStatus, err error) {
	kv, err := c.link.JS.KeyValue(ctx, contract.BucketFlows)
	if err != nil {
		return status, fmt.Errorf("read flow %s: %w", flow, explained(err))
	}
	entry, err := kv.Get(ctx, flow)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return status, nil
	}
	if err != nil {
		return status, fmt.Errorf("read flow %s: %w", flow, explained(err))
	}
	if err := json.Unmarshal(entry.Value(), &status); err != nil {
		return status, fmt.Errorf("read the status of flow %s: %w", flow, err)
	}
	return status, nil
}
