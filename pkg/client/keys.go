package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/pkg/wire"
)

// mostFlowKeys bounds the flows whose keys a client keeps.
const mostFlowKeys = 64

// A keyStore keeps the keys of sealed edges of flows.
type keyStore struct {
	mu  sync.Mutex
	got map[string]map[string]contract.Key // by flow and salt, then by the subject of the edge
}

// withKey returns the address of one of a flow's edges with its key, if it is sealed. The planner gives the key to the
// owner of the flow.
func (c *Client) withKey(ctx context.Context, a contract.Address) (contract.Address, error) {
	if a.Salt == "" || a.Sealed != nil {
		return a, nil
	}
	flow := contract.FlowOfEdge(a.Subject)
	id := flow + " " + a.Salt
	c.keys.mu.Lock()
	key, ok := c.keys.got[id][a.Subject]
	c.keys.mu.Unlock()
	if ok {
		return a.WithKey(key), nil
	}
	all, err := c.awaitKeys(ctx, flow)
	if err != nil {
		return a, err
	}
	if key, ok = all[a.Subject]; !ok {
		return a, fmt.Errorf("flow %s: %w", flow, stream.ErrSealed)
	}
	c.keys.mu.Lock()
	defer c.keys.mu.Unlock()
	if c.keys.got == nil || len(c.keys.got) >= mostFlowKeys {
		c.keys.got = make(map[string]map[string]contract.Key)
	}
	c.keys.got[id] = all
	return a.WithKey(key), nil
}

const codeForbidden = "403"

// awaitKeys asks for the keys of a flow that is planned. A replica that is behind has not heard of that: the question is
// repeated for a while, and may reach another one.
func (c *Client) awaitKeys(ctx context.Context, flow string) (map[string]contract.Key, error) {
	until := time.Now().Add(absentWait)
	for {
		keys, err := c.askKeys(ctx, flow)
		var refused *Refusal
		if !errors.As(err, &refused) || refused.Code != codeNotFound || time.Now().After(until) {
			return keys, err
		}
		select {
		case <-time.After(absentPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// askKeys asks for the keys of a flow's edges.
func (c *Client) askKeys(ctx context.Context, flow string) (map[string]contract.Key, error) {
	var answer contract.FlowKeys
	err := c.ask(ctx, contract.AskFlowKeys, []byte(flow), &answer)
	var refused *Refusal
	if errors.As(err, &refused) && refused.Code == codeForbidden {
		return nil, fmt.Errorf("%w: %s", stream.ErrSealed, refused.Message)
	}
	return answer.Keys, err
}

// A creditReader decrypts the credits of a flow, to show progress.
type creditReader struct {
	client *Client
	flow   string

	mu    sync.Mutex // both subscriptions of a Meter use it
	asked time.Time
	seals map[string]*wire.Seal // by the subject of the edge
}

// retryKeys is the time between two questions for the keys of one flow: it may belong to somebody else, or not be
// planned.
const retryKeys = 5 * time.Second

// open returns the content of a stored credit, or nil if it does not open.
func (r *creditReader) open(m *nats.Msg) []byte {
	base := contract.WithoutSender(m.Subject)
	if base == m.Subject {
		return m.Data
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	edge := contract.EdgeOfCredit(base)
	if r.seals[edge] == nil && time.Since(r.asked) >= retryKeys {
		r.ask()
	}
	if s := r.seals[edge]; s != nil {
		data, _ := s.Open(m.Subject, m.Data)
		return data
	}
	return nil
}

func (r *creditReader) ask() {
	keys, err := r.client.askKeys(context.Background(), r.flow) // bounded by askWait
	r.asked = time.Now()
	if err != nil {
		return // progress of edges is shown where it can be
	}
	r.seals = make(map[string]*wire.Seal, len(keys))
	for edge, key := range keys {
		if s, err := wire.NewSeal(key); err == nil {
			r.seals[edge] = s
		}
	}
}
