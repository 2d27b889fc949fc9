package docker

import (
	"context"
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
	wait, silent := minReconnect, false
	for ctx.Err() == nil {
		heard, err := b.hear(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case heard:
			wait = minReconnect
			fallthrough
		case !silent:
			b.cfg.Logger.Warn("cannot hear what happens to executors; trying until I can", "error", err)
		}
		silent = true
		if !sleep(ctx, wait) {
			return
		}
		wait = min(2*wait, maxReconnect)
	}
}

// hear listens to events until the connection fails, and reports whether there was one.
func (b *Backend) hear(ctx context.Context) (heard bool, err error) {
	since, err := b.daemonTime(ctx)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithCancel(ctx)
	events := b.docker.Events(ctx, client.EventsListOptions{
		Since: since.Add(-overlap).Format(time.RFC3339Nano), Filters: b.happenings(),
	})
	defer func() {
		cancel()
		for range events.Err { // until the stream has let go
		}
	}()
	b.look.put(everything, struct{}{})
	for {
		select {
		case e := <-events.Messages:
			heard = true
			b.look.put(e.Actor.ID, struct{}{})
		case err := <-events.Err:
			return heard, err
		}
	}
}

// daemonTime is the time by the daemon's clock, which stamps the events.
func (b *Backend) daemonTime(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	host, err := b.docker.Info(ctx, client.InfoOptions{})
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339Nano, host.Info.SystemTime)
}

// happenings selects the events of the place's containers that change something here.
func (b *Backend) happenings() client.Filters {
	return b.ours().Add("type", "container").Add("event", "start", "die", "rename", "destroy")
}
