package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
)

const (
	// snapshotForm is the version of what stands around a state.
	snapshotForm = 1
	// snapshotsKept is how many a service keeps: one that is broken must not cost the installation its memory.
	snapshotsKept = 2
	// snapshotLimit bounds a snapshot that is read, in bytes.
	snapshotLimit = 1 << 30
	// snapshotWait bounds the writing and the reading of one.
	snapshotWait = time.Minute
	// A snapshot is written after this many events or bytes of them, or after this time if there were any. Where
	// EVENTS is to be small, it is after a part of what EVENTS may have: nothing can be cut off before.
	snapshotEvents = 10_000
	snapshotBytes  = 32 << 20
	snapshotPart   = 4
	snapshotEvery  = 30 * time.Second
	// snapshotShare bounds what writing takes: the pause behind a snapshot is so many times its duration, unless
	// EVENTS cannot be kept within its bounds that way.
	snapshotShare = 50
	snapshotLook  = 250 * time.Millisecond
)

// A stored snapshot is known by what its object says of it.
type stored struct {
	name string
	place
	// needs is the first message of EVENTS that must be there to start from it.
	needs       uint64
	form, state int
	size        uint64
}

// header is the first line of a snapshot; the state follows.
type header struct {
	Aside []outcast `json:"aside,omitempty"`
}

// keepSnapshots writes snapshots for as long as the term lasts, and one at its end.
func (r *Runtime[S]) keepSnapshots(ctx context.Context, lease *broker.Lease) {
	if r.s.Snapshot.Encode == nil {
		return
	}
	t := time.NewTicker(snapshotLook)
	defer t.Stop()
	bounds := r.core.c.Broker
	mostEvents := uint64(min(snapshotEvents, bounds.EventsMaxCount/snapshotPart))
	mostBytes := min(snapshotBytes, bounds.EventsMaxBytes/snapshotPart)
	last, size, at, earliest := r.restored.Seq, r.bytes.Load(), time.Now(), time.Time{}
	for {
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
		events, more := r.folded()-last, r.bytes.Load()-size
		due := events >= mostEvents || more >= mostBytes || events > 0 && time.Since(at) >= snapshotEvery
		late := events >= uint64(bounds.EventsMaxCount/2) || more >= bounds.EventsMaxBytes/2 // EVENTS outgrows its bounds
		if !due || !late && time.Now().Before(earliest) || !lease.Held() {
			continue
		}
		began := time.Now()
		seq, err := r.writeSnapshot(ctx)
		if err != nil && ctx.Err() == nil {
			r.log.Warn().Err(err).Msg("cannot write a snapshot; trying again")
		}
		earliest = time.Now().Add(snapshotShare * time.Since(began))
		if err == nil {
			last, size, at = seq, r.bytes.Load(), time.Now()
			r.stats.Snapshots.Add(1)
		}
	}
}

// capture encodes the state as it is now. Folding waits meanwhile.
func (r *Runtime[S]) capture() (body []byte, at place, needs uint64, err error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	c := r.core
	head, err := json.Marshal(header{c.aside})
	if err != nil {
		return nil, place{}, 0, err
	}
	state, err := r.s.Snapshot.Encode(c.state)
	if r.s.Snapshot.Needs != nil {
		needs = r.s.Snapshot.Needs(c.state)
	}
	if len(c.aside) > 0 && (needs == 0 || c.aside[0].Seq < needs) {
		needs = c.aside[0].Seq
	}
	return slices.Concat(head, []byte("\n"), state), c.at, needs, err
}

func (r *Runtime[S]) writeSnapshot(ctx context.Context) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotWait)
	defer cancel()
	body, at, needs, err := r.capture()
	if err != nil {
		return 0, fmt.Errorf("encode the state: %w", err)
	}
	store, err := r.link.JS.ObjectStore(ctx, contract.BucketSnapshots)
	if err != nil {
		return 0, err
	}
	_, err = store.Put(ctx, jetstream.ObjectMeta{
		Name: fmt.Sprintf("%s.%d", r.s.Name, at.Seq),
		Metadata: map[string]string{
			"form": strconv.Itoa(snapshotForm), "state": strconv.Itoa(r.s.Snapshot.Version),
			"seq": strconv.FormatUint(at.Seq, 10), "at": at.At.UTC().Format(time.RFC3339Nano),
			"needs": strconv.FormatUint(needs, 10), "dagyo": Version,
		},
	}, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("store the state: %w", err)
	}
	return at.Seq, dropOld(ctx, store, r.s.Name, at.Seq)
}

// dropOld deletes the snapshots of a service that nobody will start from: all but the newest, and those of
// another EVENTS, which are ahead of it.
func dropOld(ctx context.Context, store jetstream.ObjectStore, service string, newest uint64) error {
	all, err := snapshotsOf(ctx, store, service)
	kept := 0
	for _, s := range all {
		if s.Seq <= newest && kept < snapshotsKept {
			kept++
			continue
		}
		err = errors.Join(err, store.Delete(ctx, s.name))
	}
	return err
}

// snapshotsOf lists the snapshots of a service, the newest first.
func snapshotsOf(ctx context.Context, store jetstream.ObjectStore, service string) ([]stored, error) {
	objects, err := store.List(ctx)
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	var out []stored
	for _, o := range objects {
		if number, ok := strings.CutPrefix(o.Name, service+"."); ok {
			out = append(out, describe(o, number))
		}
	}
	slices.SortFunc(out, func(a, b stored) int { return -cmpSeq(a, b) })
	return out, nil
}

func cmpSeq(a, b stored) int {
	switch {
	case a.Seq < b.Seq:
		return -1
	case a.Seq > b.Seq:
		return 1
	default:
		return 0
	}
}

// describe reads what an object says of itself. What it does not say well is 0, which fits nothing.
func describe(o *jetstream.ObjectInfo, number string) stored {
	s := stored{name: o.Name, size: o.Size}
	seq, err := strconv.ParseUint(o.Metadata["seq"], 10, 64)
	if err == nil && o.Metadata["seq"] == number {
		s.Seq = seq
	}
	s.needs, _ = strconv.ParseUint(o.Metadata["needs"], 10, 64)
	s.form, _ = strconv.Atoi(o.Metadata["form"])
	s.state, _ = strconv.Atoi(o.Metadata["state"])
	s.At, _ = time.Parse(time.RFC3339Nano, o.Metadata["at"])
	return s
}

// restore starts from the newest snapshot that is good. One that is not is reported, and the next is tried.
func (r *Runtime[S]) restore(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, snapshotWait)
	defer cancel()
	events, err := r.link.JS.Stream(ctx, contract.StreamEvents)
	if err != nil {
		return err
	}
	store, err := r.link.JS.ObjectStore(ctx, contract.BucketSnapshots)
	if err != nil {
		return err
	}
	all, err := snapshotsOf(ctx, store, r.s.Name)
	if err != nil {
		return err
	}
	for _, s := range all {
		err := r.restoreFrom(ctx, store, events, s)
		if err == nil {
			r.log.Info().Str("snapshot", s.name).Msg("starting from a snapshot")
			r.reportGap(events)
			return nil
		}
		if ctx.Err() != nil {
			return err
		}
		r.log.Warn().Err(err).Str("snapshot", s.name).Msg("cannot start from a snapshot; trying the one before")
		if r.core.state, err = r.s.New(ctx, r.link); err != nil {
			return err
		}
	}
	r.reportGap(events)
	return nil
}

// reportGap tells of events that are gone and that the state does not have.
func (r *Runtime[S]) reportGap(events jetstream.Stream) {
	if first := events.CachedInfo().State.FirstSeq; first > r.core.at.Seq+1 {
		r.log.Error().Uint64("from", r.core.at.Seq+1).Uint64("to", first-1).
			Msg("events are not kept any more that this service has not seen: flows of that time may be unknown")
	}
}

func (r *Runtime[S]) restoreFrom(
	ctx context.Context, store jetstream.ObjectStore, events jetstream.Stream, s stored,
) error {
	switch {
	case s.form != snapshotForm || s.state != r.s.Snapshot.Version:
		return fmt.Errorf("its version is %d.%d, not %d.%d", s.form, s.state, snapshotForm, r.s.Snapshot.Version)
	case s.size > snapshotLimit:
		return fmt.Errorf("it has %d bytes; the limit is %d", s.size, snapshotLimit)
	}
	if err := ofThese(ctx, events, s.place); err != nil {
		return err
	}
	body, err := store.GetBytes(ctx, s.name) // compares the digest
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
	r.core.aside, r.core.at, r.restored = h.Aside, s.place, s.place
	return nil
}

// ofThese checks that a place is one of these EVENTS: not of a stream that was there before, or of a later
// time than that from which it was restored.
func ofThese(ctx context.Context, events jetstream.Stream, p place) error {
	state := events.CachedInfo().State
	switch {
	case p.Seq == 0 || p.Seq > state.LastSeq:
		return fmt.Errorf("it is of event %d; EVENTS ends at %d", p.Seq, state.LastSeq)
	case p.Seq < state.FirstSeq:
		return nil
	}
	m, err := events.GetMsg(ctx, p.Seq)
	if err != nil {
		return fmt.Errorf("read event %d: %w", p.Seq, err)
	}
	if !m.Time.Equal(p.At) {
		return fmt.Errorf("event %d was stored at %v, not at %v", p.Seq, m.Time, p.At)
	}
	return nil
}
