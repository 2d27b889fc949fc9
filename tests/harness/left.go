package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
)

// AwaitNothingLeft waits until Dagyo has released everything that flows need: streams, consumers, jobs, executors and
// their files. Idle executors exit after their progdef's idleTimeout.
func (s *Stack) AwaitNothingLeft(t *testing.T, c *Client) {
	t.Helper()
	awaitNone(t, func(ctx context.Context) ([]string, error) { return s.left(ctx, c) })
}

// AwaitNoNames waits until the names of exited executors are released. That takes a while.
func (s *Stack) AwaitNoNames(t *testing.T, c *Client) {
	t.Helper()
	awaitNone(t, func(ctx context.Context) ([]string, error) { return broker.Names(ctx, c.JS) })
}

// awaitNone polls until nothing is left.
func awaitNone(t *testing.T, look func(context.Context) ([]string, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var left []string
	for {
		now, err := look(ctx)
		if err == nil && len(now) == 0 {
			return
		}
		if err == nil {
			left = now
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("left behind: %v %v", left, err)
		}
	}
}

func (s *Stack) left(ctx context.Context, c *Client) ([]string, error) {
	var left []string
	names := c.JS.StreamNames(ctx)
	for name := range names.Name() {
		if !strings.HasPrefix(name, contract.EdgeStreamPrefix) {
			continue
		}
		edges, err := c.JS.Stream(ctx, name)
		if err != nil {
			return nil, err
		}
		if n := edges.CachedInfo().State.Msgs; n > 0 {
			left = append(left, fmt.Sprintf("%d messages in %s", n, name))
		}
	}
	if names.Err() != nil {
		return nil, names.Err()
	}
	jobs, err := c.JS.Stream(ctx, contract.StreamJobs)
	if err != nil {
		return nil, err
	}
	if n := jobs.CachedInfo().State.Msgs; n > 0 {
		left = append(left, fmt.Sprintf("%d jobs", n))
	}
	if n := jobs.CachedInfo().State.Consumers; n > 0 {
		left = append(left, fmt.Sprintf("%d mailboxes", n))
	}
	dirs, err := os.ReadDir(filepath.Join(string(s.Dir), "executors"))
	for _, d := range dirs {
		left = append(left, "files of executor "+d.Name())
	}
	return left, err
}
