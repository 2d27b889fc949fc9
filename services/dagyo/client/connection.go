package client

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
)

// Now returns the time of the NATS server. All times of events and flows come from its clock.
func (c *Client) Now(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	events, err := c.link.JS.Stream(ctx, contract.StreamEvents)
	if err != nil {
		return time.Time{}, explained(err)
	}
	return events.CachedInfo().TimeStamp, nil
}

// Connection delivers each change of the connection until stop is called: false when it is lost, true when it is
// established again. The client reconnects by itself.
func (c *Client) Connection() (changes <-chan bool, stop func()) {
	statuses := c.link.StatusChanged(nats.RECONNECTING, nats.CONNECTED)
	out, stopped, done := make(chan bool), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case s := <-statuses:
				select {
				case out <- s == nats.CONNECTED:
				case <-stopped:
					return
				}
			case <-stopped:
				return
			}
		}
	}()
	return out, func() {
		close(stopped)
		<-done
		c.link.RemoveStatusListener(statuses)
	}
}
