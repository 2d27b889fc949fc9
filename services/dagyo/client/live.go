package client

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
)

// Live knows which valid flows have no verdict yet.
type Live struct {
	consuming jetstream.ConsumeContext
	moved     chan struct{} // holds a token when something has changed

	mu      sync.Mutex
	flows   map[string]struct{}
	current bool
}

// FollowLive begins to know them; subjects alone tell, so no payload is read. Close it.
func (c *Client) FollowLive(ctx context.Context) (*Live, error) {
	l := &Live{moved: make(chan struct{}, 1), flows: make(map[string]struct{})}
	oc, err := c.link.JS.OrderedConsumer(ctx, contract.StreamEvents, jetstream.OrderedConsumerConfig{
		FilterSubjects: liveSubjects(), DeliverPolicy: jetstream.DeliverAllPolicy, HeadersOnly: true,
	})
	if err != nil {
		return nil, fmt.Errorf("follow live flows: %w", explained(err))
	}
	info, err := oc.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("follow live flows: %w", explained(err))
	}
	l.current = info.NumPending == 0
	quiet := jetstream.ConsumeErrHandler(func(jetstream.ConsumeContext, error) {}) // it recovers
	if l.consuming, err = oc.Consume(l.take, quiet); err != nil {
		return nil, fmt.Errorf("follow live flows: %w", explained(err))
	}
	return l, nil
}

func liveSubjects() []string {
	var out []string
	for _, t := range []contract.Type{
		contract.TypeFlowValidated, contract.TypeFlowRejected, contract.TypeFlowCompleted,
		contract.TypeFlowPanic, contract.TypeFlowCancelled,
	} {
		entry, _ := contract.Lookup(t)
		out = append(out, entry.Pattern())
	}
	return out
}

func (l *Live) take(m jetstream.Msg) {
	flow := m.Subject()[strings.LastIndexByte(m.Subject(), '.')+1:]
	meta, err := m.Metadata()
	l.mu.Lock()
	if strings.HasPrefix(m.Subject(), string(contract.TypeFlowValidated)) {
		l.flows[flow] = struct{}{}
	} else {
		delete(l.flows, flow)
	}
	l.current = l.current || err == nil && meta.NumPending == 0
	l.mu.Unlock()
	select {
	case l.moved <- struct{}{}:
	default:
	}
}

// Count is how many flows live, as far as is known; it is not to be relied on before it is current.
func (l *Live) Count() (n int, current bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.flows), l.current
}

// AwaitCurrent returns when the count has caught up with the events.
func (l *Live) AwaitCurrent(ctx context.Context) error {
	return l.await(ctx, func(_ int, current bool) bool { return current })
}

// AwaitNone returns when no flow lives. It is for one goroutine at a time, as is AwaitCurrent.
func (l *Live) AwaitNone(ctx context.Context) error {
	return l.await(ctx, func(n int, current bool) bool { return current && n == 0 })
}

func (l *Live) await(ctx context.Context, done func(int, bool) bool) error {
	for !done(l.Count()) {
		select {
		case <-l.moved:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Close ends it and waits for its goroutines.
func (l *Live) Close() {
	l.consuming.Stop()
	<-l.consuming.Closed()
}
