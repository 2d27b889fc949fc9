package docker

import (
	"context"
	"time"

	"github.com/moby/moby/client"
)

const (
	// minReconnect and maxReconnect limit the pause between two tries to receive events.
	minReconnect = 100 * time.Millisecond
	maxReconnect = 5 * time.Second
	// overlap is how far back the events are requested: the daemon reports that a container has died
	// shortly before it lists it as dead.
	overlap = 10 * time.Second
)

// follow requests an inspection of every container with an event, until ctx ends.
func (b *Backend) follow(ctx context.Context) {
	wait, told := minReconnect, false
	for {
		good, err := b.hear(ctx)
		if ctx.Err() != nil {
			return
		}
		if good {
			wait, told = minReconnect, false
		}
		if !told {
			b.cfg.Logger.Warn("cannot receive the events of executors; trying again", "error", err)
			told = true
		}
		if !sleep(ctx, wait) {
			return
		}
		wait = min(2*wait, maxReconnect)
	}
}

// hear receives events until the connection fails, and reports whether it had succeeded.
func (b *Backend) hear(ctx context.Context) (good bool, err error) {
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
		for range events.Err { // until the stream is closed
		}
	}()
	b.look.put(everything, struct{}{})
	for began := time.Now(); ; {
		select {
		case e := <-events.Messages:
			b.look.put(e.Actor.ID, struct{}{})
		case err := <-events.Err:
			return time.Since(began) > maxReconnect, err
		}
	}
}

// daemonTime returns the time of the daemon's clock, which stamps the events.
func (b *Backend) daemonTime(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	host, err := b.docker.Info(ctx, client.InfoOptions{})
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse(time.RFC3339Nano, host.Info.SystemTime)
}

// happenings selects the events of the place's containers that matter here.
func (b *Backend) happenings() client.Filters {
	return b.ours().Add("type", "container").Add("event", "start", "die", "rename", "destroy")
}
