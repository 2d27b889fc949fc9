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
