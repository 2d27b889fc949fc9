package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// ErrIDTaken says that the id is that of a flow with another document.
var ErrIDTaken = errors.New("the id is taken: another document was submitted under it before; choose another id")

// judgeWait is how long a submission waits to be judged.
const judgeWait = 3 * time.Second

// Judged waits until the validator has judged a submission, given its place in EVENTS and the digest of its document.
// It returns nil for a flow that is right; one of the same document under the same id is the same, and before reports
// that it was found right earlier. Other answers are a problem.List and ErrIDTaken. Where there is no answer yet the
// error is ErrNoAnswer; the submission is stored.
func (c *Client) Judged(ctx context.Context, flow string, seq uint64, document string) (before bool, err error) {
	feed, err := c.Follow(ctx, Start{}, "flow.*."+flow)
	if err != nil {
		return false, err
	}
	defer feed.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, judgeWait, ErrNoAnswer)
	defer cancel()
	if feed.Stored == 0 { // else its events are not kept any more, if it has ended
		past, err := c.Before(ctx, flow, document)
		if err != nil || past != nil {
			return past != nil, err
		}
	}
	for {
		e, err := feed.Next(ctx)
		if err != nil {
			return false, err
		}
		switch d := e.Data.(type) {
		case *contract.FlowValidated:
			return e.Seq < seq, Same(flow, d.Document, document)
		case *contract.FlowRejected:
			if e.Seq > seq && (e.Cause == seq || e.Cause == 0) {
				return false, d.Problems
			}
		}
	}
}

// Before returns the status of the flow of an id that has ended before a document was submitted under it; nil where
// there is none, or where that cannot be known now. The error is ErrIDTaken where its document was another one.
func (c *Client) Before(ctx context.Context, flow, document string) (*contract.FlowStatus, error) {
	s, err := c.Flow(ctx, flow)
	if err != nil || s.Document == "" {
		return nil, context.Cause(ctx)
	}
	if err := Same(flow, s.Document, document); err != nil || s.Verdict == "" {
		return nil, err
	}
	return &s, nil
}

// Same compares the digests of the document that has an id and of one that was submitted under it. The version
// before this one kept none.
func Same(flow, has, submitted string) error {
	if has != "" && has != submitted {
		return fmt.Errorf("submit flow %s: %w (see `dagyo show %s`)", flow, ErrIDTaken, flow)
	}
	return nil
}
