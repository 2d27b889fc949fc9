package client

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
)

// Now returns the time of the NATS server. All times of events and flows come from its clock. Services tell it in their
// answers; that of the last answer is used, or that of a question of its own.
func (c *Client) Now(ctx context.Context) (time.Time, error) {
	if c.ahead.Load() == nil {
		if _, err := c.flowPage(ctx, contract.FlowQuery{Limit: 1}); err != nil {
			return time.Time{}, err
		}
	}
	return time.Now().Add(*c.ahead.Load()), nil
}

// noteTime records by how much the server's clock is ahead of ours. A service of an earlier version does not tell it.
func (c *Client) noteTime(m *nats.Msg) {
	ahead := time.Duration(0)
	if at, err := time.Parse(time.RFC3339Nano, m.Header.Get(contract.HeaderTime)); err == nil {
		ahead = time.Until(at)
	}
	c.ahead.Store(&ahead)
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
