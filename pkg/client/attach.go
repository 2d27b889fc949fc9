package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/stream"
)

// Ends are a flow's own inputs and outputs, by name.
type Ends struct {
	Inputs, Outputs map[string]contract.Address
}

// Planned waits until a flow is planned, and returns its ends. If the flow ends before that, Planned returns the event
// that ended it. past is that event according to the flow's status, or nil: the event itself may no longer be stored.
func (c *Client) Planned(ctx context.Context, flow string, past *contract.Event) (Ends, *contract.Event, error) {
	feed, err := c.Follow(ctx, Start{}, "flow.*."+flow)
	if err != nil {
		return Ends{}, nil, err
	}
	defer feed.Close()
	if past != nil && feed.Stored == 0 {
		return Ends{}, past, nil
	}
	for told := uint64(1); ; told++ {
		e, err := feed.Next(ctx)
		if err != nil {
			return Ends{}, nil, err
		}
		if d, planned := e.Data.(*contract.FlowPlanned); planned {
			return Ends{Inputs: d.Inputs, Outputs: d.Outputs}, nil, nil
		}
		// A submission that was rejected may have been corrected: then more events are stored.
		if e.EndsFlow() || e.Type == contract.TypeFlowRejected && told >= feed.Stored {
			return Ends{}, &e, nil
		}
	}
}

// Free returns the ends that no client has started to feed or to read, as far as the broker knows.
func (c *Client) Free(ctx context.Context, flow string, all Ends) (Ends, error) {
	free := Ends{Inputs: make(map[string]contract.Address), Outputs: make(map[string]contract.Address)}
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	for name, a := range all.Inputs {
		a, err := c.withKey(ctx, a)
		if err != nil {
			return free, err
		}
		credit, err := stream.LastCredit(ctx, c.link.JS, a)
		if err != nil {
			return free, lookError(flow, err)
		}
		begun, err := stream.Begun(ctx, c.link.JS, a)
		if err != nil {
			return free, lookError(flow, err)
		}
		if !begun && credit.Frame == 0 && !credit.Closed {
			free.Inputs[name] = a
		}
	}
	for name, a := range all.Outputs {
		a, err := c.withKey(ctx, a)
		if err != nil {
			return free, err
		}
		credit, err := stream.LastCredit(ctx, c.link.JS, a)
		if err != nil {
			return free, lookError(flow, err)
		}
		if credit.Attach == 0 && credit.Frame == 0 && !credit.Closed {
			free.Outputs[name] = a
		}
	}
	return free, nil
}

// ErrCleaned is returned for a flow that has ended and whose outputs are deleted.
var ErrCleaned = errors.New("the flow has ended and its outputs are deleted")

func lookError(flow string, err error) error {
	if errors.Is(err, stream.ErrGone) {
		return fmt.Errorf("attach to flow %s: %w", flow, ErrCleaned)
	}
	return fmt.Errorf("read the state of the inputs and outputs of flow %s: %w", flow, explained(err))
}
