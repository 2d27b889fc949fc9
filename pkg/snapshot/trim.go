package snapshot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
)

// Trim deletes the oldest events that exceed the limits and that no service needs: all services can start from a
// snapshot, and from an older one if that is broken, with the events after it.
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
	nearlyFull := c.NearlyFull(info.State.Bytes)
	if !nearlyFull {
		young, err := firstSince(ctx, events, info.State.FirstSeq, info.State.LastSeq, info.TimeStamp.Add(-leastAge))
		if err != nil {
			return err
		}
		cut = min(cut, young)
	}
	needed, err := firstNeeded(ctx, Store{link.JS}, nearlyFull)
	if err != nil {
		return err
	}
	if cut = min(cut, needed); cut <= info.State.FirstSeq {
		return nil
	}
	if err := events.Purge(ctx, jetstream.WithPurgeSequence(cut)); err != nil {
		return fmt.Errorf("delete the events before %d: %w", cut, err)
	}
	return nil
}

// leastAge is the minimum time that events are kept: a job whose claim is not acknowledged is delivered again, and the
// executor that then receives it must find its job.started.
const leastAge = broker.ClaimWait + 5*time.Second

// excess returns the first event that is within the limits.
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
	if over := float64(s.Bytes) - float64(c.EventsMaxBytes); over > 0 { // as if all had the same size
		cut = max(cut, s.FirstSeq+uint64(over/float64(s.Bytes)*float64(s.Msgs))+1)
	}
	if oldest := now.Add(-c.EventsMaxAge); s.FirstTime.Before(oldest) {
		aged, err := firstSince(ctx, events, s.FirstSeq, s.LastSeq, oldest)
		return max(cut, aged), err
	}
	return cut, nil
}

// firstSince finds the first message that was stored at or after a time, by binary search.
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

// firstNeeded returns the first event that a service may still need, or 0 if a service has too few snapshots yet.
func firstNeeded(ctx context.Context, store Store, nearlyFull bool) (uint64, error) {
	all := make(map[string][]Description)
	for _, service := range contract.Services() {
		var err error
		if all[service], err = store.List(ctx, service); err != nil {
			return 0, err
		}
	}
	return Needed(all, nearlyFull), nil
}

// Needed returns the first event that a service may need with these snapshots: earlier ones may be deleted. It is 0 if
// a service has too few snapshots.
//
// When EVENTS is nearly full, less is needed: one snapshot of each service is enough, and messages without an answer
// are not needed. Without space there can be neither more snapshots nor answers, and EVENTS would stay full forever.
// Those messages are then answered without their content.
func Needed(all map[string][]Description, nearlyFull bool) (needed uint64) {
	least := Kept
	if nearlyFull {
		least = 1
	}
	for _, service := range contract.Services() {
		if len(all[service]) < least {
			return 0
		}
		for _, d := range all[service][:least] {
			first := d.First()
			if nearlyFull {
				first = d.Seq + 1
			}
			if needed == 0 || first < needed {
				needed = first
			}
		}
	}
	return needed
}
