package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
	"github.com/dagyo/dagyo/pkg/wire"
)

// ErrEnough is returned by a callback that needs no more records. It is not a failure.
var ErrEnough = errors.New("enough")

// Read passes every record of a flow's output to take, in order, and returns their count. The record is
// valid only until take returns.
//
// The edge of a flow that fails has no end. Therefore the caller must cancel running, which must derive
// from ctx, when the flow has its verdict: Read then reads what is stored, and returns stream.ErrCut.
// stream.ErrGone means that the flow was cleaned up before its output was read.
func (c *Client) Read(
	ctx, running context.Context, a contract.Address, take func([]byte) error,
) (n contract.OutputCount, err error) {
	if a, err = c.withKey(ctx, a); err != nil {
		return n, err
	}
	r, err := stream.NewReader(c.link.JS, a, stream.ReadAs(c.user))
	if err != nil {
		return n, err
	}
	defer r.Abort()
	err = takeAll(running, r, take)
	if running.Err() != nil && ctx.Err() == nil && ofContext(err) {
		r.Rest()
		err = takeAll(ctx, r, take)
	}
	switch {
	case errors.Is(err, io.EOF):
		err = nil
	case errors.Is(err, ErrEnough):
		n.ClosedEarly = true
		err = c.enough(ctx, r)
	}
	if err == nil {
		c.settle(ctx, r)
	}
	n.Count = r.Count()
	return n, err
}

// settle stores the read position, so that the planner sees it when the flow is released. If that fails,
// the outputs are kept for their retention.
func (c *Client) settle(ctx context.Context, r *stream.Reader) {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	_ = r.Settle(ctx)
}

func ofContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func takeAll(ctx context.Context, r *stream.Reader, take func([]byte) error) error {
	for ctx.Err() == nil { // Recv does not check it while records are buffered
		record, err := r.Recv(ctx)
		if err == nil {
			err = take(record)
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// enough closes the edge for its writer.
func (c *Client) enough(ctx context.Context, r *stream.Reader) error {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	if err := r.Close(ctx); err != nil && !errors.Is(err, stream.ErrGone) {
		return fmt.Errorf("close output: %w", err)
	}
	return nil
}

// Release announces that the flow's outputs are to be kept only until they are read, and how much of each was read.
// An output is read when Read has returned.
func (c *Client) Release(flow string, read map[string]contract.OutputCount) error {
	body, err := json.Marshal(contract.Release{Read: read})
	if err == nil {
		err = c.link.Publish(c.on(contract.ReleaseSubject(flow)), body)
	}
	if err != nil {
		return fmt.Errorf("release the outputs of flow %s: %w", flow, err)
	}
	return c.link.FlushTimeout(askWait)
}

// A Meter receives the credits of a flow's edges.
type Meter struct {
	subs []*nats.Subscription
	// Credits delivers the edge's subject and its credit; some may be missing.
	Credits chan Credit
}

// A Credit is the number of records that the reader of one edge has consumed so far.
type Credit struct {
	// Subject is the credit's own, as contract.CreditSubject makes it.
	Subject string
	wire.Credit
}

// meterBuffer is the number of buffered credits; further ones are dropped, because credits are cumulative.
const meterBuffer = 1024

// Measure subscribes to the credits of a flow. The caller must close the meter.
func (c *Client) Measure(flow string) (*Meter, error) {
	m := &Meter{Credits: make(chan Credit, meterBuffer)}
	seals := &creditReader{client: c, flow: flow}
	for _, subject := range contract.CreditSubjects(flow) {
		sub, err := c.link.Subscribe(subject, func(msg *nats.Msg) {
			credit, err := wire.ParseCredit(seals.open(msg))
			if err != nil {
				return
			}
			select {
			case m.Credits <- Credit{Subject: contract.WithoutSender(msg.Subject), Credit: credit}:
			default:
			}
		})
		if err != nil {
			m.Close()
			return nil, fmt.Errorf("subscribe to the edges of flow %s: %w", flow, err)
		}
		m.subs = append(m.subs, sub)
	}
	return m, nil
}

// Close unsubscribes.
func (m *Meter) Close() {
	for _, sub := range m.subs {
		_ = sub.Unsubscribe()
	}
}
