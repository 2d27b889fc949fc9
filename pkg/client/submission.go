package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dagyo/dagyo/pkg/contract"
)

// ErrIDTaken is returned if the id belongs to a flow with a different document.
var ErrIDTaken = errors.New("the id is in use: a different document was submitted under it; use another id")

// ErrOtherUser is returned if the id belongs to a flow of another user.
var ErrOtherUser = errors.New("the id is in use by another user; use another id")

// judgeWait bounds the wait for the validation of a submission.
const judgeWait = 3 * time.Second

// Judged waits until the validator has validated a submission, given its sequence number in EVENTS and the digest of
// its document. It returns nil for a valid flow, also if it was submitted before with the same document and id; before
// reports that. Other results are a problem.List, ErrIDTaken and ErrOtherUser. Without an answer the error is ErrNoAnswer; the
// submission is stored.
func (c *Client) Judged(ctx context.Context, flow string, seq uint64, document string) (before bool, err error) {
	feed, err := c.Follow(ctx, Start{}, "flow.*."+flow)
	if err != nil {
		return false, err
	}
	defer feed.Close()
	ctx, cancel := context.WithTimeoutCause(ctx, judgeWait, ErrNoAnswer)
	defer cancel()
	if feed.Stored == 0 { // otherwise the flow may have ended and its events may be deleted
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
			return e.Seq < seq, c.Same(flow, d.Owner, d.Document, document)
		case *contract.FlowRejected:
			if e.Seq > seq && (e.Cause == seq || e.Cause == 0) {
				return false, d.Problems
			}
		}
	}
}

// Before returns the status of a flow with the id that ended before a document was submitted under it, or nil if there
// is none or its status is unavailable. The error is ErrIDTaken if its document was a different one, and ErrOtherUser if
// another user submitted it.
func (c *Client) Before(ctx context.Context, flow, document string) (*contract.FlowStatus, error) {
	s, err := c.Flow(ctx, flow)
	if err != nil || s.Document == "" {
		return nil, context.Cause(ctx)
	}
	if err := c.Same(flow, s.Owner, s.Document, document); err != nil || s.Verdict == "" {
		return nil, err
	}
	return &s, nil
}

// Same compares the owner of a flow with this client's user, and the digest of its document with that of a document
// submitted under its id. The previous version stored no digests.
func (c *Client) Same(flow, owner, has, submitted string) error {
	if owner != c.user {
		return fmt.Errorf("submit flow %s: %w", flow, ErrOtherUser)
	}
	if has != "" && has != submitted {
		return fmt.Errorf("submit flow %s: %w (see `dagyo show %s`)", flow, ErrIDTaken, flow)
	}
	return nil
}
