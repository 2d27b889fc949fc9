package snapshot

import (
	"context"
	"time"

	"github.com/dagyo/dagyo/pkg/broker"
)

const (
	// writeWait limits writing a snapshot, lastWait writing that of a stopping service.
	writeWait = time.Minute
	lastWait  = 2 * time.Second
	// checkEvery is the interval between two checks whether a snapshot is due.
	checkEvery = 250 * time.Millisecond
)

// A Writer writes the snapshots of a leading replica.
type Writer struct {
	Store   Store
	Service string
	// Bounds are the limits of EVENTS.
	Bounds broker.Config
	// Held reports whether the replica is still the leader.
	Held func() bool
	// Folded returns the last event that the state includes, and the approximate number of bytes folded.
	Folded func() (seq uint64, bytes int64)
	// Advance stores an event that the state folds.
	Advance func(context.Context) error
	// Capture encodes the state.
	Capture func() (Description, []byte, error)
	// Written is called with the result of each try.
	Written func(error)
}

// Run writes snapshots until the context ends, and then one more, so that a stopped service starts again without
// folding anything. from is the snapshot from which the replica started.
func (w Writer) Run(ctx context.Context, from Description) {
	_, bytes := w.Folded()
	stored, err := w.Store.List(ctx, w.Service)
	if err != nil && ctx.Err() == nil {
		w.Written(err) // a leader can write snapshots without knowing the others
	}
	p := newPace(w.Bounds, from, stored, bytes, time.Now())
	t := time.NewTicker(checkEvery)
	defer t.Stop()
	for ctx.Err() == nil {
		select {
		case now := <-t.C:
			switch seq, bytes := w.Folded(); {
			case !w.Held():
			case p.due(seq, bytes, now):
				w.write(ctx, p, bytes)
			case p.lacking(seq, now):
				w.advance(ctx, p)
			}
		case <-ctx.Done():
		}
	}
	if seq, bytes := w.Folded(); w.Held() && seq > p.seq {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWait)
		defer cancel()
		w.write(ctx, p, bytes)
	}
}

func (w Writer) advance(ctx context.Context, p *pace) {
	began := time.Now()
	err := w.Advance(ctx)
	p.tried(began, time.Now())
	if err != nil {
		w.Written(err)
	}
}

func (w Writer) write(ctx context.Context, p *pace, bytes int64) {
	ctx, cancel := context.WithTimeout(ctx, writeWait)
	defer cancel()
	began := time.Now()
	d, body, err := w.Capture()
	if err == nil {
		err = w.Store.Put(ctx, d, body)
	}
	p.tried(began, time.Now())
	if err == nil {
		p.wrote(d, bytes, time.Now())
	}
	w.Written(err)
}
