package service

import (
	"context"
	"time"
)

// Every does something at an interval until the context ends. What takes longer than the interval delays
// the next time.
func Every(ctx context.Context, interval time.Duration, do func()) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			do()
		case <-ctx.Done():
			return
		}
	}
}
