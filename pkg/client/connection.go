package client

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
)

// Now returns the time of the NATS server. All times of events and flows come from its clock. Answers of
// services carry it; that of the last answer is used, or that of a question of its own.
func (c *Client) Now(ctx context.Context) (time.Time, error) {
	if c.ahead.Load() == nil {
		if _, err := c.FlowPage(ctx, contract.FlowQuery{Limit: 1}); err != nil {
			return time.Time{}, err
		}
	}
	return time.Now().Add(*c.ahead.Load()), nil
}

// learn notes that the user of the client knows of an event.
func (c *Client) learn(t contract.Type, seq uint64) {
	switch area, _, _ := strings.Cut(string(t), "."); area {
	case "flow", "job", "webhook":
	default:
		return
	}
	for known := c.known.Load(); known < seq && !c.known.CompareAndSwap(known, seq); known = c.known.Load() {
	}
}

// noteAnswer notes the last event that an answer includes. If it is before what is known, EVENTS was restored from a backup,
// or the service is far behind: nothing is waited for again.
func (c *Client) noteAnswer(m *nats.Msg, after uint64) {
	if got, err := strconv.ParseUint(m.Header.Get(contract.HeaderAfter), 10, 64); err == nil && got < after {
		c.known.CompareAndSwap(after, got)
	}
}

// noteTime records by how much the server's clock is ahead of ours. A service of an earlier version does not send it.
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
		connected := true
		for {
			select {
			case s := <-statuses:
				if connected == (s == nats.CONNECTED) {
					continue // another attempt has failed
				}
				connected = !connected
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
