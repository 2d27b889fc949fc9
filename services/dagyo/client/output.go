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

// ErrEnough is what a record's taker returns when it wants no more. It is no failure.
var ErrEnough = errors.New("enough")

// Read passes every record of a flow's output to take, in order, and returns how many there were. The
// record is take's to use only until it returns.
//
// The edge of a flow that fails has no end. So running, which must come from ctx, has to end when the
// flow has its verdict: Read then takes what has arrived and what is stored, and returns stream.ErrCut.
// stream.ErrGone means that the flow was cleaned up before its output was read.
func (c *Client) Read(
	ctx, running context.Context, a contract.Address, take func([]byte) error,
) (n contract.OutputCount, err error) {
	r, err := stream.NewReader(c.link.JS, a)
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

// settle stores what was read, so that the planner sees it when the flow is released. If that fails, the
// outputs are kept for their retention.
func (c *Client) settle(ctx context.Context, r *stream.Reader) {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	_ = r.Settle(ctx)
}

func ofContext(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func takeAll(ctx context.Context, r *stream.Reader, take func([]byte) error) error {
	for ctx.Err() == nil { // Recv does not look at it while records are at hand
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

// enough tells the writer that its reader wants no more.
func (c *Client) enough(ctx context.Context, r *stream.Reader) error {
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	if err := r.Close(ctx); err != nil && !errors.Is(err, stream.ErrGone) {
		return fmt.Errorf("close output: %w", err)
	}
	return nil
}

// Release says that the flow's outputs need not be kept any longer than until they are read, and how much of each was
// read. They are read when Read has returned.
func (c *Client) Release(flow string, read map[string]contract.OutputCount) error {
	body, err := json.Marshal(contract.Release{Read: read})
	if err == nil {
		err = c.link.Publish(contract.ReleaseSubject(flow), body)
	}
	if err != nil {
		return fmt.Errorf("release the outputs of flow %s: %w", flow, err)
	}
	return c.link.FlushTimeout(askWait)
}

// A Meter hears what the readers of a flow's edges have consumed.
type Meter struct {
	sub *nats.Subscription
	// Credits delivers the edge's subject and its credit; some may be missing.
	Credits chan Credit
}

// A Credit is what the reader of one edge has consumed so far.
type Credit struct {
	// Subject is the credit's own, as contract.CreditSubject makes it.
	Subject string
	wire.Credit
}

// meterBuffer bounds the credits that wait: they are cumulative, so those beyond it are dropped.
const meterBuffer = 1024

// Measure begins to hear the credits of a flow. Close the meter.
func (c *Client) Measure(flow string) (*Meter, error) {
	m := &Meter{Credits: make(chan Credit, meterBuffer)}
	var err error
	m.sub, err = c.link.Subscribe(contract.CreditSubjects(flow), func(msg *nats.Msg) {
		credit, err := wire.ParseCredit(msg.Data)
		if err != nil {
			return
		}
		select {
		case m.Credits <- Credit{Subject: msg.Subject, Credit: credit}:
		default:
		}
	})
	if err != nil {
		return nil, fmt.Errorf("listen to the edges of flow %s: %w", flow, err)
	}
	return m, nil
}

// Close stops listening.
func (m *Meter) Close() { _ = m.sub.Unsubscribe() }
