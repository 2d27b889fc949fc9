package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/history"
)

// Flow returns the status of a flow. The error is ErrUnknownFlow if no flow has the id, or if the flow is no
// longer in history.
func (c *Client) Flow(ctx context.Context, flow string) (contract.FlowStatus, error) {
	var s contract.FlowStatus
	err := c.ask(ctx, contract.AskFlowGet, []byte(flow), &s)
	if refused := new(Refusal); errors.As(err, &refused) && refused.Code == codeNotFound {
		return s, fmt.Errorf("%w: %q", ErrUnknownFlow, flow)
	}
	return s, err
}

// Flows lists the flows that match a query, page by page: current flows, the latest submission first, then
// ended flows, the latest end first. A page may be empty although others follow. The sequence ends with the
// first error.
func (c *Client) Flows(
	ctx context.Context, q contract.FlowQuery,
) iter.Seq2[contract.FlowPage, error] {
	return func(yield func(contract.FlowPage, error) bool) {
		for {
			page, err := c.FlowPage(ctx, q)
			if !yield(page, err) || err != nil || page.Next == "" {
				return
			}
			q.After = page.Next
		}
	}
}

// FlowPage returns one page of the list of flows.
func (c *Client) FlowPage(ctx context.Context, q contract.FlowQuery) (contract.FlowPage, error) {
	var page contract.FlowPage
	body, err := json.Marshal(q)
	if err != nil {
		return page, fmt.Errorf("list flows: %w", err)
	}
	return page, c.ask(ctx, contract.AskFlowList, body, &page)
}

// LiveFlows counts the valid flows without a verdict.
func (c *Client) LiveFlows(ctx context.Context) (n int, err error) {
	for page, err := range c.Flows(ctx, liveFlows(history.MaxLimit)) {
		if err != nil {
			return 0, err
		}
		n += len(page.Flows)
	}
	return n, nil
}

// liveFlows does not count submitted flows that are not validated yet: they may be rejected, or wait for a
// validator.
func liveFlows(limit int) contract.FlowQuery {
	return contract.FlowQuery{Live: true, Limit: limit, States: []contract.Type{
		contract.TypeFlowValidated, contract.TypeFlowPlanned, contract.TypeFlowQueued,
		contract.TypeFlowSpawned, contract.TypeJobStarted,
	}}
}

// livePoll is the time between two requests for live flows.
const livePoll = 50 * time.Millisecond

// AwaitNoLiveFlows waits until there are no live flows. It returns an error if they cannot be counted.
func (c *Client) AwaitNoLiveFlows(ctx context.Context) error {
	again := time.NewTicker(livePoll)
	defer again.Stop()
	for {
		page, err := c.FlowPage(ctx, liveFlows(1))
		if err != nil || len(page.Flows) == 0 && page.Next == "" {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
