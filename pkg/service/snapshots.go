package service

import (
	"context"
	"fmt"
	"time"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/service/core"
	"github.com/dagyo/dagyo/pkg/snapshot"
)

const (
	// snapshotWait bounds writing or reading a snapshot, lastSnapshotWait writing that of a service that ends.
	snapshotWait     = time.Minute
	lastSnapshotWait = 2 * time.Second
	// snapshotCheck is the time between two checks whether a snapshot is due.
	snapshotCheck = 250 * time.Millisecond
)

// keepSnapshots writes snapshots for as long as the term lasts, and one at its end: a service that is stopped starts
// again without folding anything.
func (r *Runtime[S]) keepSnapshots(ctx context.Context, lease *broker.Lease) {
	pace := snapshot.NewPace(r.config.Broker, r.restored, r.bytes.Load(), time.Now())
	Every(ctx, snapshotCheck, func() {
		began, bytes := time.Now(), r.bytes.Load()
		if !lease.Held() || !pace.Due(r.folded(), bytes, began) {
			return
		}
		seq, err := r.writeSnapshot(ctx)
		pace.Tried(began, time.Now())
		if err == nil {
			pace.Wrote(seq, bytes, time.Now())
			r.stats.Snapshots.Add(1)
		} else if ctx.Err() == nil {
			r.log.Warn().Err(err).Msg("cannot write a snapshot; trying again")
		}
	})
	if r.folded() == pace.Last() || !lease.Held() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastSnapshotWait)
	defer cancel()
	if _, err := r.writeSnapshot(ctx); err != nil {
		r.log.Debug().Err(err).Msg("no snapshot at the end")
	}
}

// writeSnapshot stores the state, and returns the last event that it includes. Folding waits while it is encoded.
func (r *Runtime[S]) writeSnapshot(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotWait)
	defer cancel()
	d := r.description()
	var body []byte
	var err error
	r.view(func(c *core.Core[S]) {
		began := time.Now()
		body, err = c.Encode()
		d.Place, d.Needs = c.Last, c.Needs()
		r.stats.Snapshotting.Add(time.Since(began).Microseconds())
	})
	if err != nil {
		return 0, fmt.Errorf("encode the state: %w", err)
	}
	return d.Seq, snapshot.Store{JS: r.link.JS}.Put(ctx, d, body)
}

// description returns what this service's snapshots have in common.
func (r *Runtime[S]) description() snapshot.Description {
	return snapshot.Description{
		Service: r.service.Name, Form: core.Form, State: r.service.Snapshot.Version, Dagyo: Version,
	}
}

// restore makes the core, and starts it from the newest good snapshot.
func (r *Runtime[S]) restore(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, snapshotWait)
	defer cancel()
	if err := r.reset(ctx); err != nil {
		return err
	}
	use := func(d snapshot.Description, body []byte) error { return r.core.Decode(d.Place, body) }
	skip := func(d snapshot.Description, err error) error {
		r.log.Warn().Err(err).Stringer("snapshot", d).Msg("cannot start from a snapshot; trying the one before")
		return r.reset(ctx)
	}
	err := snapshot.Store{JS: r.link.JS}.Load(ctx, r.description(), use, skip)
	if err != nil {
		return err
	}
	if r.restored = r.core.Last.Seq; r.restored > 0 {
		r.log.Info().Uint64("events", r.restored).Msg("starting from a snapshot")
	}
	first, _, err := r.events.Bounds(ctx)
	if first > r.restored+1 {
		r.log.Error().Uint64("from", r.restored+1).Uint64("to", first-1).
			Msg("events are not kept any more that this service has not seen: flows of that time may be unknown")
	}
	return err
}

// reset makes a core that has folded nothing.
func (r *Runtime[S]) reset(ctx context.Context) error {
	state, err := r.service.New(ctx)
	limits := core.Limits{Workers: r.config.Workers, MaxAttempts: r.config.MaxAttempts}
	r.core = core.New(r.service.Logic, limits, state, func(text string) { r.log.Warn().Msg(text) })
	return err
}
