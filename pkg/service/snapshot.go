package service

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/snapshot"
)

const (
	// snapshotForm is the version of what stands around a state.
	snapshotForm = 1
	// snapshotWait bounds the writing and the reading of one.
	snapshotWait = time.Minute
	// A snapshot is written after this many events or bytes of them, or after this time if there were any. Where
	// EVENTS is to be small, it is after a part of what EVENTS may have: nothing can be cut off before.
	snapshotEvents = 10_000
	snapshotBytes  = 32 << 20
	snapshotPart   = 4
	snapshotEvery  = 5 * time.Minute
	// snapshotSecond is how soon the second snapshot after many events may be written.
	snapshotSecond = 30 * time.Second
	// snapshotShare bounds what writing takes: the pause behind a snapshot is so many times its duration, unless
	// EVENTS cannot be kept within its bounds that way.
	snapshotShare = 100
	snapshotLook  = 250 * time.Millisecond
)

// header is the first line of a snapshot; the state follows.
type header struct {
	Aside []outcast `json:"aside,omitempty"`
}

// pace says when a snapshot is to be written.
type pace struct {
	mostEvents   uint64
	mostBytes    int64
	lateEvents   uint64 // EVENTS outgrows its bounds
	lateBytes    int64
	seq, older   uint64 // the places of the newest snapshot and of the one before
	bytes        int64  // how much was folded when the newest was written
	at, earliest time.Time
}

// due tells whether a snapshot is to be written of a state that has folded up to seq and bytes in all. EVENTS is
// cut by the older of two snapshots: after many events the second is written soon, even if little follows.
func (p *pace) due(seq uint64, bytes int64, now time.Time) bool {
	late := seq-p.seq >= p.lateEvents || bytes-p.bytes >= p.lateBytes
	if seq == p.seq || !late && now.Before(p.earliest) {
		return false
	}
	since := now.Sub(p.at)
	return seq-p.seq >= p.mostEvents || bytes-p.bytes >= p.mostBytes || since >= snapshotEvery ||
		since >= snapshotSecond && seq-p.older >= p.mostEvents
}

func (p *pace) wrote(seq uint64, bytes int64, now time.Time) {
	p.older, p.seq, p.bytes, p.at = p.seq, seq, bytes, now
}

// tried notes what the last try took: the next one waits for a multiple of it.
func (p *pace) tried(began, ended time.Time) {
	p.earliest = ended.Add(snapshotShare * ended.Sub(began))
}

// keepSnapshots writes snapshots for as long as the term lasts, and one at its end: a service that is stopped
// starts again without folding anything.
func (r *Runtime[S]) keepSnapshots(ctx context.Context, lease *broker.Lease) {
	t := time.NewTicker(snapshotLook)
	defer t.Stop()
	bounds := r.core.c.Broker
	p := pace{
		mostEvents: uint64(min(snapshotEvents, bounds.EventsMaxCount/snapshotPart)),
		mostBytes:  min(snapshotBytes, bounds.EventsMaxBytes/snapshotPart),
		lateEvents: uint64(bounds.EventsMaxCount / 2), lateBytes: bounds.EventsMaxBytes / 2,
		seq: r.restored.Seq, older: r.restored.Seq, bytes: r.bytes.Load(), at: time.Now(),
	}
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			if r.folded() > p.seq && lease.Held() {
				r.writeLast(ctx)
			}
			return
		}
		began := time.Now()
		if !lease.Held() || !p.due(r.folded(), r.bytes.Load(), began) {
			continue
		}
		bytes := r.bytes.Load()
		seq, err := r.writeSnapshot(ctx)
		p.tried(began, time.Now())
		if err == nil {
			p.wrote(seq, bytes, time.Now())
			r.stats.Snapshots.Add(1)
		} else if ctx.Err() == nil {
			r.log.Warn().Err(err).Msg("cannot write a snapshot; trying again")
		}
	}
}

// lastSnapshotWait bounds the snapshot of a service that is asked to end.
const lastSnapshotWait = 2 * time.Second

func (r *Runtime[S]) writeLast(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSnapshotWait)
	defer cancel()
	if _, err := r.writeSnapshot(ctx); err != nil {
		r.log.Debug().Err(err).Msg("no snapshot at the end")
	}
}

// capture encodes the state as it is now. Folding waits meanwhile.
func (r *Runtime[S]) capture() (body []byte, at place, needs uint64, err error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	began := time.Now()
	defer func() { r.stats.Snapshotting.Add(time.Since(began).Microseconds()) }()
	c := r.core
	head, err := json.Marshal(header{c.aside})
	if err != nil {
		return nil, place{}, 0, err
	}
	state, err := r.s.Snapshot.Encode(c.state)
	return slices.Concat(head, []byte("\n"), state), c.at, c.needs(), err
}

func (r *Runtime[S]) writeSnapshot(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotWait)
	defer cancel()
	body, at, needs, err := r.capture()
	if err != nil {
		return 0, fmt.Errorf("encode the state: %w", err)
	}
	return at.Seq, snapshot.Store{JS: r.link.JS}.Put(ctx, snapshot.Description{
		Service: r.s.Name, Place: at, Needs: needs, Form: snapshotForm, State: r.s.Snapshot.Version, Dagyo: Version,
	}, body)
}

// restore starts from the newest snapshot that is good. One that is not is reported, and the next is tried.
func (r *Runtime[S]) restore(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, snapshotWait)
	defer cancel()
	events, err := r.link.JS.Stream(ctx, contract.StreamEvents)
	if err != nil {
		return err
	}
	all, err := snapshot.Store{JS: r.link.JS}.List(ctx, r.s.Name)
	if err != nil {
		return err
	}
	for _, d := range all {
		err := r.restoreFrom(ctx, events, d)
		if err == nil {
			r.log.Info().Stringer("snapshot", d).Msg("starting from a snapshot")
			break
		}
		if ctx.Err() != nil {
			return err
		}
		r.log.Warn().Err(err).Stringer("snapshot", d).Msg("cannot start from a snapshot; trying the one before")
		if r.core.state, err = r.s.New(ctx, r.link); err != nil {
			return err
		}
	}
	if first := events.CachedInfo().State.FirstSeq; first > r.core.at.Seq+1 {
		r.log.Error().Uint64("from", r.core.at.Seq+1).Uint64("to", first-1).
			Msg("events are not kept any more that this service has not seen: flows of that time may be unknown")
	}
	return nil
}

func (r *Runtime[S]) restoreFrom(ctx context.Context, events jetstream.Stream, d snapshot.Description) error {
	if d.Form != snapshotForm || d.State != r.s.Snapshot.Version {
		return fmt.Errorf("its version is %d.%d, not %d.%d", d.Form, d.State, snapshotForm, r.s.Snapshot.Version)
	}
	if err := snapshot.OfThese(ctx, events, d.Place); err != nil {
		return err
	}
	body, err := snapshot.Store{JS: r.link.JS}.Get(ctx, d)
	if err != nil {
		return err
	}
	head, state, _ := bytes.Cut(body, []byte("\n"))
	var h header
	if err := json.Unmarshal(head, &h); err != nil {
		return err
	}
	if err := r.s.Snapshot.Decode(r.core.state, state); err != nil {
		return err
	}
	r.restored = d.Place
	r.core.restore(d.Place, h.Aside)
	return nil
}
