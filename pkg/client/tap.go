package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/wire"
)

// Limits of a look at an edge: it ends at the first of them. So the cost of a tap does not depend on what passes.
const (
	// TapEvery is the least time from one look to the next.
	TapEvery = time.Second
	// TapRecord is the size above which records are left out, in bytes.
	TapRecord = 1 << 20
	tapLook   = 250 * time.Millisecond
	tapFrames = 32
	tapBytes  = 2 << 20
	// tapEnough frames are asked for, unless those of the look before had no whole record.
	tapEnough = 4
)

// ErrUnknownEdge is returned for an edge that a flow does not have.
var ErrUnknownEdge = errors.New("the flow has no such edge")

// ErrNotTapped is returned for an edge of a progdef that does not allow taps.
var ErrNotTapped = errors.New("what passes on this edge is not shown")

// A Sample is what one look at an edge has seen.
type Sample struct {
	// Records are some that passed, complete and in order.
	Records [][]byte
	// Frames and Bytes count what was looked at.
	Frames, Bytes int
}

// A Tap looks at an edge of a running flow now and then.
type Tap struct {
	client  *Client
	address contract.Address
	seal    *wire.Seal // nil if the edge is not sealed
	// parts is true if the last look has seen parts of large records only.
	parts bool
}

// Tap opens a tap on an edge of a flow that is planned and has not ended. The edge is named by its writer: node.port, or
// inputs.name. No part of the flow waits for a tap, which receives a bounded number of the messages that pass. What is stored
// because nobody reads it yet does not pass. A sealed edge opens for the owner of the flow only. An edge of a progdef
// with "tap": false is refused.
func (c *Client) Tap(ctx context.Context, flow, edge string) (*Tap, error) {
	a, err := c.edge(ctx, flow, edge)
	if err != nil {
		return nil, err
	}
	t := &Tap{client: c, address: a}
	if a.Salt == "" {
		return t, nil
	}
	if a, err = c.withKey(ctx, a); err != nil {
		return nil, err
	}
	t.seal, err = wire.NewSeal(a.Sealed.Key)
	return t, err
}

// Type is the typename of the records.
func (t *Tap) Type() string { return t.address.Type }

// Look receives some frames, for a moment. Between two looks, wait for TapEvery.
func (t *Tap) Look(ctx context.Context) (s Sample, err error) {
	subject := t.address.Direct + ".*"
	ctx, done := t.client.denials.heed(ctx, subject)
	defer done()
	most := tapEnough
	if t.parts {
		most = tapFrames
	}
	frames := make(chan *nats.Msg, most)
	sub, err := t.client.link.ChanSubscribe(subject, frames)
	if err == nil {
		err = sub.AutoUnsubscribe(most) // the server sends no more
	}
	if err != nil {
		return s, fmt.Errorf("tap %s: %w", subject, explained(err))
	}
	defer func() { _ = sub.Unsubscribe() }() // an error means that it has ended
	sampler := wire.NewSampler(TapRecord)
	end := time.NewTimer(tapLook)
	defer end.Stop()
	defer func() { t.parts = s.Frames > 0 && len(s.Records) == 0 }()
	for s.Frames < most && s.Bytes < tapBytes && (s.Frames < tapEnough || len(s.Records) == 0) {
		select {
		case m := <-frames:
			s.Frames++
			s.Bytes += len(m.Data)
			frame := m.Data
			if t.seal != nil {
				var ok bool
				if frame, ok = t.seal.Open(m.Subject, frame); !ok {
					continue
				}
			}
			s.Records = append(s.Records, sampler.Records(frame)...)
		case <-end.C:
			return s, nil
		case <-ctx.Done():
			return s, denied(ctx, context.Cause(ctx))
		}
	}
	return s, nil
}

// edge returns the address of an edge of a flow that has not ended.
func (c *Client) edge(ctx context.Context, flow, edge string) (a contract.Address, err error) {
	status, err := c.Flow(ctx, flow)
	if err != nil {
		return a, err
	}
	if status.Verdict != "" {
		return a, ErrCleaned
	}
	plan, err := c.plan(ctx, flow)
	if err != nil {
		return a, err
	}
	node, port, _ := strings.Cut(edge, ".")
	ends := map[string]map[string]contract.Address{"inputs": plan.Inputs}
	for _, j := range plan.Jobs {
		ends[j.Job] = j.Outputs
	}
	a, ok := ends[node][port]
	if !ok {
		return a, fmt.Errorf("%w: %q; edges are named by their writer, as node.port or inputs.name", ErrUnknownEdge, edge)
	}
	for _, j := range plan.Jobs {
		if !at(j, a) {
			continue
		}
		if p := plan.Progdefs[j.Progdef]; !p.Document.Tappable() {
			return a, fmt.Errorf(`%w: progdef %s, which node %s runs, has "tap": false`, ErrNotTapped, j.Progdef, j.Job)
		}
	}
	return a, nil
}

// at reports whether a job reads or writes an edge.
func at(j contract.Job, edge contract.Address) bool {
	for _, ports := range []map[string]contract.Address{j.Inputs, j.Outputs} {
		for _, a := range ports {
			if a.Subject == edge.Subject {
				return true
			}
		}
	}
	return false
}

// plan returns the plan of a flow, once there is one.
func (c *Client) plan(ctx context.Context, flow string) (*contract.FlowPlanned, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, askWait, ErrNoAnswer)
	defer cancel()
	feed, err := c.Follow(ctx, Start{}, string(contract.TypeFlowPlanned)+"."+flow)
	if err != nil {
		return nil, err
	}
	defer feed.Close()
	e, err := feed.Next(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the plan of flow %s: %w", flow, err)
	}
	d, ok := e.Data.(*contract.FlowPlanned)
	if !ok {
		return nil, fmt.Errorf("the plan of flow %s cannot be read: %w", flow, e.Problems)
	}
	return d, nil
}
