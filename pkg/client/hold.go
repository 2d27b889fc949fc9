package client

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nuid"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/wire"
)

// holdEvery is the time between two heartbeats of a client; holdFor is how long each one is valid: one or two of
// them may be lost.
const (
	holdEvery = 3 * time.Second
	holdFor   = 10 * time.Second
)

// A Hold publishes the heartbeats of a client that feeds or reads a flow. If they stop and Release was not called,
// the flow is cancelled after a while, because its inputs are not fed and its outputs not read.
type Hold struct {
	client  *Client
	subject string
	stop    context.CancelFunc
	beating sync.WaitGroup
}

// Hold announces that this client feeds or reads a flow, which may not be submitted yet. The caller must close the hold.
func (c *Client) Hold(flow string) (*Hold, error) {
	ctx, stop := context.WithCancel(context.Background())
	h := &Hold{client: c, subject: c.on(contract.ClientSubject(flow, nuid.Next())), stop: stop}
	if err := h.beat(); err != nil {
		stop()
		return nil, fmt.Errorf("announce the client of flow %s: %w", flow, err)
	}
	h.beating.Go(func() { h.run(ctx) })
	return h, nil
}

func (h *Hold) beat() error {
	return h.client.link.Publish(h.subject, wire.AppendBeat(nil, holdFor))
}

func (h *Hold) run(ctx context.Context) {
	t := time.NewTicker(holdEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			_ = h.beat() // the next one may succeed
		case <-ctx.Done():
			return
		}
	}
}

// Close stops the heartbeats.
func (h *Hold) Close() {
	h.stop()
	h.beating.Wait()
}

// Release closes the hold and announces that the flow does not depend on this client.
func (h *Hold) Release() error {
	h.Close()
	if err := h.client.link.Publish(h.subject, nil); err != nil {
		return fmt.Errorf("release a flow: %w", err)
	}
	return nil
}
