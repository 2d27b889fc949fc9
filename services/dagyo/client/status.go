package client

import (
	"context"

	"github.com/dagyo/dagyo/pkg/contract"
)

func (c *Client) Flows(ctx context.Context) ([]contract.FlowStatus, error) {
	var page contract.FlowPage
	if err := c.ask(ctx, contract.AskFlowList, nil, &page); err != nil {
		return nil, err
	}
	var out []contract.FlowStatus
	for _, l := range page.Flows {
		s, err := c.Flow(ctx, l.Flow)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func (c *Client) Flow(ctx context.Context, flow string) (contract.FlowStatus, error) {
	var s contract.FlowStatus
	err := c.ask(ctx, contract.AskFlowGet, []byte(flow), &s)
	return s, err
}
