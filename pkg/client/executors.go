package client

import (
	"context"

	"github.com/dagyo/dagyo/pkg/contract"
)

// Capacity returns the capacity of each revision of a progdef, the current one first.
func (c *Client) Capacity(ctx context.Context, progdef string) ([]contract.Capacity, error) {
	var out []contract.Capacity
	err := c.ask(ctx, contract.AskExecutors, []byte(progdef), &out)
	return out, err
}

// Usage returns what the tenant and its users hold, and their limits.
func (c *Client) Usage(ctx context.Context) (out contract.Usage, err error) {
	err = c.ask(ctx, contract.AskUsage, nil, &out)
	return out, err
}
