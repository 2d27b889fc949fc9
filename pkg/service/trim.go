package service

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
)

// Trim cuts off the oldest events that exceed the bounds, and that no service needs: all of them can start
// from a snapshot, and from an older one if that is broken, with the events behind it.
func Trim(ctx context.Context, link *broker.Link, c broker.Config) error {
	events, err := link.JS.Stream(ctx, contract.StreamEvents)
	if err != nil {
		return err
	}
	info := events.CachedInfo()
	cut, err := excess(ctx, events, info.State, c, info.TimeStamp)
	if err != nil || cut <= info.State.FirstSeq {
		return err
	}
	needed, err := firstNeeded(ctx, link, c.NearlyFull(info.State.Bytes))
	if err != nil {
		return err
	}
	if cut = min(cut, needed); cut <= info.State.FirstSeq {
		return nil
	}
	if err := events.Purge(ctx, jetstream.WithPurgeSequence(cut)); err != nil {
		return fmt.Errorf("cut off the events before %d: %w", cut, err)
	}
	return nil
}

// excess returns the first event that is within the bounds.
func excess(
	ctx context.Context, events jetstream.Stream, s jetstream.StreamState, c broker.Config, now time.Time,
) (uint64, error) {
	if s.Msgs == 0 {
		return 0, nil
	}
	cut := s.FirstSeq
	if over := int64(s.Msgs) - c.EventsMaxCount; over > 0 {
		cut += uint64(over)
	}
	if over := float64(s.Bytes) - float64(c.EventsMaxBytes); over > 0 { // as if all were of one size
		cut = max(cut, s.FirstSeq+uint64(over/float64(s.Bytes)*float64(s.Msgs))+1)
	}
	if oldest := now.Add(-c.EventsMaxAge); s.FirstTime.Before(oldest) {
		aged, err := firstSince(ctx, events, s.FirstSeq, s.LastSeq, oldest)
		return max(cut, aged), err
	}
	return cut, nil
}

// firstSince finds the first message that was stored at or after a time: one in the middle at a time.
func firstSince(
	ctx context.Context, events jetstream.Stream, first, last uint64, since time.Time,
) (uint64, error) {
	for last++; first < last; {
		middle := first + (last-first)/2
		m, err := events.GetMsg(ctx, middle)
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return 0, fmt.Errorf("read event %d: %w", middle, err)
		}
		if err == nil && !m.Time.Before(since) {
			last = middle
		} else {
			first = middle + 1
		}
	}
	return first, nil
}

// firstNeeded returns the first event that a service may still need, 0 where one does not have its snapshots yet.
//
// When EVENTS is nearly full it returns less: one snapshot of each service must do, and messages without an answer
// are not needed. Without room there are neither more snapshots nor answers, and EVENTS would be full for ever. Those
// messages are then answered without what they say.
func firstNeeded(ctx context.Context, link *broker.Link, nearlyFull bool) (uint64, error) {
	least := snapshotsKept
	if nearlyFull {
		least = 1
	}
	store, err := link.JS.ObjectStore(ctx, contract.BucketSnapshots)
	if err != nil {
		return 0, err
	}
	var needed uint64
	for i, service := range contract.Services() {
		all, err := snapshotsOf(ctx, store, service)
		if err != nil || len(all) < least {
			return 0, err
		}
		for _, s := range all[:least] {
			first := s.Seq + 1
			if s.needs > 0 && !nearlyFull {
				first = min(first, s.needs)
			}
			if i == 0 && needed == 0 || first < needed {
				needed = first
			}
		}
	}
	return needed, nil
}
