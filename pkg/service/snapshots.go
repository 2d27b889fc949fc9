package service

import (
	"context"
	"fmt"
	"time"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/eventlog"
	"github.com/dagyo/dagyo/pkg/service/core"
	"github.com/dagyo/dagyo/pkg/snapshot"
)

// Timeouts for restoring the state: the first one, and the longest one after timeouts. A request that is lost while the
// broker starts is never answered; a large snapshot takes long to read.
const (
	leastRestore = 10 * time.Second
	mostRestore  = time.Minute
)

// writeSnapshots writes snapshots during the term, and one at its end.
func (r *Runtime[S]) writeSnapshots(ctx context.Context, lease *broker.Lease) {
	var captured saved
	snapshot.Writer{
		Store: snapshot.Store{JS: r.link.JS}, Service: r.service.Name, Bounds: r.config.Broker, Held: lease.Held,
		Folded:  func() (uint64, int64) { return r.folded(), r.bytes.Load() },
		Advance: r.Sync,
		Capture: func() (snapshot.Description, []byte, error) {
			d, body, err := r.capture(ctx)
			captured = saved{d.Place, len(body)}
			return d, body, err
		},
		Written: func(err error) {
			if err == nil {
				r.snapshots.Add(1)
				r.measured.saved.Store(new(captured))
			} else if ctx.Err() == nil {
				r.log.Warn().Err(err).Msg("cannot write a snapshot; trying again")
			}
		},
	}.Run(ctx, r.restored)
}

const (
	// encodeStep is about how many bytes of a snapshot are encoded before the fold may go on, encodePause is how long.
	encodeStep  = 32 << 10
	encodePause = 500 * time.Microsecond
)

// capture encodes the state. Folding goes on between its steps, unless the context has ended.
func (r *Runtime[S]) capture(ctx context.Context) (snapshot.Description, []byte, error) {
	d := r.description()
	var image *core.Image
	r.encode(func(c *core.Core[S]) bool { image = c.Capture(); return false })
	for !r.encode(func(c *core.Core[S]) bool { return c.Encode(encodeStep) }) {
		sleep(ctx, encodePause, nil)
	}
	d.Place, d.Needs = image.Place, image.Needs
	body, err := image.Bytes()
	if err != nil {
		err = fmt.Errorf("encode the state: %w", err)
	}
	return d, body, err
}

// encode calls f, which encodes a part of the state, and blocks folding meanwhile.
func (r *Runtime[S]) encode(f func(*core.Core[S]) bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	began := time.Now()
	defer func() { r.encoding.Add(time.Since(began).Microseconds()) }()
	return f(r.core)
}

// description returns the part of the description that all snapshots of this service share.
func (r *Runtime[S]) description() snapshot.Description {
	return snapshot.Description{
		Service: r.service.Name, Form: core.Form, State: r.service.Snapshot.Version, Dagyo: Version,
	}
}

// restore creates the core, and starts it from the newest valid snapshot.
func (r *Runtime[S]) restore(ctx context.Context, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r.restored = snapshot.Description{}
	if err := r.reset(ctx); err != nil {
		return err
	}
	use := func(d snapshot.Description, body []byte) error {
		r.restored = d
		return r.core.Decode(d.Place, body)
	}
	skip := func(d snapshot.Description, err error) error {
		r.log.Warn().Err(err).Stringer("snapshot", d).Msg("cannot start from a snapshot; trying the one before")
		r.restored = snapshot.Description{}
		return r.reset(ctx)
	}
	if err := (snapshot.Store{JS: r.link.JS}).Load(ctx, r.description(), use, skip); err != nil {
		return err
	}
	if r.restored.Seq > 0 {
		r.measured.saved.Store(&saved{r.restored.Place, r.restored.Size})
		r.log.Info().Stringer("snapshot", r.restored).Msg("starting from a snapshot")
	}
	first, _, err := r.events.Bounds(ctx)
	if first > r.restored.Seq+1 {
		r.log.Error().Uint64("from", r.restored.Seq+1).Uint64("to", first-1).
			Msg("events that this service has not folded were deleted: flows of that time may be unknown")
	}
	return err
}

// reset creates a core that has folded nothing.
func (r *Runtime[S]) reset(ctx context.Context) error {
	state, err := r.service.New(ctx)
	r.core = core.New(r.service.Logic, r.config.Limits, state, func(about contract.Event, text string) {
		r.log.Warn().EmbedObject(eventlog.About(about)).Msg(text)
	})
	return err
}
