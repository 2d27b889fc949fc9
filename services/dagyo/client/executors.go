package client

import (
	"context"
	"fmt"

	"github.com/dagyo/dagyo/pkg/contract"
)

// Executors counts the executors of a progdef's revision that run now, as far as events tell.
func (c *Client) Executors(ctx context.Context, progdef, revision string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	feed, err := c.Follow(ctx, Start{}, "executor.*."+progdef+".*")
	if err != nil {
		return 0, err
	}
	defer feed.Close()
	running := make(map[string]bool)
	for range feed.Stored {
		e, err := feed.Next(ctx)
		if err != nil {
			return 0, fmt.Errorf("read the events of progdef %s: %w", progdef, err)
		}
		switch d := e.Data.(type) {
		case *contract.ExecutorStarted:
			running[d.Executor] = d.Revision == revision
		case *contract.ExecutorExited:
			delete(running, d.Executor)
		}
	}
	n := 0
	for _, current := range running {
		if current {
			n++
		}
	}
	return n, nil
}
