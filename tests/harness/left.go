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

// AwaitNothingLeft waits until Dagyo has let go of everything that flows need: streams, consumers, jobs,
// executors and their files. Idle executors go by their progdef's idleTimeout.
func (s *Stack) AwaitNothingLeft(t *testing.T, c *Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var left []string
	for {
		now, err := s.left(ctx, c)
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
		if strings.HasPrefix(name, contract.FlowStreamPrefix) {
			left = append(left, "stream "+name)
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
	taken, err := broker.Names(ctx, c.JS)
	if err != nil {
		return nil, err
	}
	for _, name := range taken {
		left = append(left, "the name of executor "+name)
	}
	dirs, err := os.ReadDir(filepath.Join(s.Dir, "executors"))
	for _, d := range dirs {
		left = append(left, "files of executor "+d.Name())
	}
	return left, err
}
