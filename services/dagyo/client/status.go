package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
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
	out, err := gather(ctx, w.Updates())
	slices.SortFunc(out, func(a, b contract.FlowStatus) int {
		return cmp.Or(b.Submitted.Compare(a.Submitted), cmp.Compare(a.Flow, b.Flow))
	})
	return out, err
}

// gather reads what is stored; a nil entry marks its end.
func gather(
	ctx context.Context, updates <-chan jetstream.KeyValueEntry,
) ([]contract.FlowStatus, error) {
	var out []contract.FlowStatus
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
			out = append(out, s)
		case <-ctx.Done():
			return nil, fmt.Errorf("list flows: %w", context.Cause(ctx))
		}
	}
}

// Flow returns where a flow stands: what its events say, since the stored view follows them by a
// moment. The error is ErrUnknownFlow where there is no flow of that id.
func (c *Client) Flow(ctx context.Context, flow string) (contract.FlowStatus, error) {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	status, err := c.storedStatus(ctx, flow)
	if err != nil {
		return status, err
	}
	feed, err := c.Follow(ctx, Start{}, FlowSubjects(flow)...)
	if err != nil {
		return status, err
	}
	defer feed.Close()
	for range feed.Stored {
		e, err := feed.Next(ctx)
		if err != nil {
			return status, fmt.Errorf("read the events of flow %s: %w", flow, err)
		}
		if e.Data != nil {
			status = aggregator.With(status, e)
		}
	}
	if status.Flow == "" {
		return status, fmt.Errorf("%w: %q", ErrUnknownFlow, flow)
	}
	return status, nil
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
