package suite

import (
	"context"
	"fmt"
	"time"

	"github.com/dagyo/dagyo/services/spawner/process"
)

// executorsEnd limits the time until the executors have exited.
const executorsEnd = 20 * time.Second

// endExecutors ends the executors that the spawner has started, since they outlive it.
func (s *Suite) endExecutors(dir string) {
	ctx, cancel := context.WithTimeout(context.Background(), executorsEnd)
	defer cancel()
	if err := giveUpAll(ctx, dir); err != nil {
		s.options.Tell(fmt.Sprintf("executors may be left in %s: %v", dir, err))
	}
}

func giveUpAll(ctx context.Context, dir string) (err error) {
	b, err := process.New(process.Config{Dir: dir})
	if err != nil {
		return err
	}
	defer func() {
		if closed := b.Close(); err == nil {
			err = closed
		}
	}()
	left, err := b.List(ctx)
	if err != nil {
		return err
	}
	for _, x := range left {
		if err := b.GiveUp(ctx, x.Executor); err != nil {
			return err
		}
	}
	for range left {
		select {
		case <-b.Exits():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
