package docker

import (
	"context"
	"fmt"
	"time"

	"github.com/moby/moby/client"
)

const (
	// minReconnect and maxReconnect bound the time between two attempts to hear of events.
	minReconnect = 100 * time.Millisecond
	maxReconnect = 5 * time.Second
	// overlap is how much of the past is asked for with the events: the daemon says that a container
	// has died a moment before it lists it as dead.
	overlap = 10 * time.Second
)

// follow asks for a look at every container to which something happens, until ctx ends.
func (b *Backend) follow(ctx context.Context) {
	for wait := minReconnect; ; wait = min(2*wait, maxReconnect) {
		heard, err := b.hear(ctx)
		if ctx.Err() != nil {
			return
		}
		if heard {
			wait = minReconnect
		}
		b.cfg.Logger.Warn("cannot hear what happens to executors; trying again", "in", wait, "error", err)
		if !sleep(ctx, wait) {
			return
		}
	}
}

// hear listens to events until the connection fails, and reports whether there was one.
func (b *Backend) hear(ctx context.Context) (heard bool, err error) {
	host, err := b.docker.Info(ctx, client.InfoOptions{})
	if err != nil {
		return false, err
	}
	now, err := time.Parse(time.RFC3339Nano, host.Info.SystemTime)
	if err != nil {
		return false, fmt.Errorf("the daemon's time: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	events := b.docker.Events(ctx, client.EventsListOptions{
		Since: now.Add(-overlap).Format(time.RFC3339Nano), Filters: b.happenings(),
	})
	defer func() {
		cancel()
		for range events.Err { // until the stream has let go
		}
	}()
	if err := b.lookAtAll(ctx); err != nil {
		return false, err
	}
	for {
		select {
		case e := <-events.Messages:
			b.look.put(e.Actor.ID, struct{}{})
		case err := <-events.Err:
			return true, err
		}
	}
}

// happenings selects the events of the place's containers that change something here.
func (b *Backend) happenings() client.Filters {
	return b.ours().Add("type", "container").Add("event", "start", "die", "rename", "destroy")
}

// lookAtAll asks for a look at every container, for what happened while nobody listened.
func (b *Backend) lookAtAll(ctx context.Context) error {
	found, err := b.containers(ctx)
	for _, c := range found {
		b.look.put(c.ID, struct{}{})
	}
	return err
}
