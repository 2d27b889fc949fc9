package service

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
)

// pageLength bounds the deliveries that a reader takes at once.
const pageLength = 256

// read waits for what the reader at p wants: from the tail, or from the stream where it is behind that.
// All of it has been folded. Without an error it returns at least one.
func (r *Runtime[S]) read(ctx context.Context, p *place) ([]*delivery, error) {
	for {
		_, moved := r.cursor.watch()
		batch, begin := r.tail.take(p, pageLength)
		if behind := p.next < begin; behind {
			var err error
			if batch, err = r.page(ctx, p, begin); err != nil {
				return nil, err
			}
			moved = nil
		}
		if len(batch) > 0 {
			return batch, nil
		}
		if moved == nil {
			continue
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// page reads from the stream what lies before begin, and moves the reader there or less far.
func (r *Runtime[S]) page(ctx context.Context, p *place, begin uint64) ([]*delivery, error) {
	subjects := patterns(slices.Sorted(maps.Keys(p.types)))
	msgs, err := broker.Page(ctx, r.link.JS, contract.StreamEvents, subjects, p.next, pageLength)
	if err != nil {
		return nil, err
	}
	var batch []*delivery
	for _, m := range msgs {
		meta, err := m.Metadata()
		if err != nil {
			return nil, err
		}
		if meta.Sequence.Stream >= begin {
			break
		}
		d, err := r.decode(ctx, m, meta)
		if err != nil {
			return nil, err
		}
		batch = append(batch, d)
	}
	next := begin
	if len(batch) > 0 {
		next = batch[len(batch)-1].seq + 1
	}
	r.tail.move(p, next)
	return batch, nil
}

// readPause is the time between two tries while the broker is away.
const readPause = time.Second

// Follow hands out the events of Service.Reads, from where the last reader of that name has stopped: in
// order, what has come within the given time together. What handle fails at it is given again. Follow
// returns when the context ends; one reader of a name may follow at a time.
func (r *Runtime[S]) Follow(
	ctx context.Context, name string, gather time.Duration, handle func([]contract.Event) error,
) error {
	b, err := r.openBook(ctx, name)
	if err != nil {
		return err
	}
	p := r.tail.join(r.s.Reads, b.next())
	defer r.tail.leave(p)
	defer r.closeBook(ctx, b)
	for ctx.Err() == nil {
		batch, err := r.read(ctx, p)
		if err != nil && ctx.Err() == nil {
			r.log.Warn().Err(err).Str("reader", name).Msg("cannot read events; trying again")
			pause(ctx, readPause)
		}
		if len(batch) == 0 {
			continue
		}
		pause(ctx, gather)
		more, _ := r.tail.take(p, gathered)
		r.handOut(ctx, b, append(batch, more...), handle)
		r.writeBook(ctx, b)
	}
	return nil
}

// gathered bounds what Follow adds to what it waited for.
const gathered = 2000

// handOut tries until handle has taken the batch.
func (r *Runtime[S]) handOut(
	ctx context.Context, b *book, batch []*delivery, handle func([]contract.Event) error,
) {
	events := make([]contract.Event, 0, len(batch))
	for _, d := range batch {
		if len(d.problems) == 0 && !b.before(d) {
			events = append(events, d.event)
		}
	}
	for ctx.Err() == nil {
		err := handle(events)
		if err == nil {
			b.pass(batch[len(batch)-1])
			return
		}
		if ctx.Err() == nil {
			r.log.Warn().Err(err).Str("reader", b.name).Msg("cannot take events in; trying again")
		}
		pause(ctx, readPause)
	}
}
