package service

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/contract"
)

// A record is how far a reader of EVENTS has come, for whoever goes on after it: everything up to Last
// is done, but for what is open.
type record struct {
	Last uint64 `json:"last"`
	// At is when Last was stored: in an EVENTS that was restored the number may stand for another message.
	At   time.Time `json:"at"`
	Open []uint64  `json:"open,omitempty"`
	// Since is when the first of the open ones was stored, At where none is open.
	Since time.Time `json:"since"`
}

// A book takes down what its reader has begun and done.
type book struct {
	name string
	// stored is the number of the record that this one follows, 0 for none.
	stored uint64

	mu      sync.Mutex
	last    uint64
	at      time.Time
	open    map[uint64]time.Time
	changed bool
	// before tells what was done by the readers before this one.
	before func(*delivery) bool
}

func newBook(name string) *book {
	return &book{
		name: name, open: make(map[uint64]time.Time), before: func(*delivery) bool { return false },
	}
}

// continued is the book of a reader that goes on behind another.
func continued(name string, old record) *book {
	b := newBook(name)
	b.last, b.at = old.Last, old.At
	for _, seq := range old.Open {
		b.open[seq] = old.Since
	}
	b.before = func(d *delivery) bool { return d.seq <= old.Last && !slices.Contains(old.Open, d.seq) }
	return b
}

// begunAgain is the book for an EVENTS in which the old numbers mean nothing: what was stored before the
// old reader's place was done.
func begunAgain(name string, old record) *book {
	b := newBook(name)
	b.before = func(d *delivery) bool { return d.at.Before(old.Since) }
	return b
}

// next is where the reading begins.
func (b *book) next() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	from := b.last + 1
	for seq := range b.open {
		from = min(from, seq)
	}
	return from
}

// begin notes that a delivery is being worked on, unless it was done before.
func (b *book) begin(d *delivery) bool {
	if b.before(d) {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open[d.seq], b.changed = d.at, true
	if d.seq > b.last {
		b.last, b.at = d.seq, d.at
	}
	return true
}

func (b *book) done(seq uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.open, seq)
	b.changed = true
}

// pass notes that everything up to a delivery is done.
func (b *book) pass(d *delivery) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if d.seq > b.last {
		b.last, b.at, b.changed = d.seq, d.at, true
	}
}

// news returns the record if it has changed since it was last asked for.
func (b *book) news() (now record, changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	changed, b.changed = b.changed, false
	now = record{Last: b.last, At: b.at, Since: b.at, Open: slices.Sorted(maps.Keys(b.open))}
	for _, at := range b.open {
		if at.Before(now.Since) {
			now.Since = at
		}
	}
	return now, changed
}

// keepNews takes back that the news were told.
func (b *book) keepNews() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changed = true
}

// openBook reads how far the last reader of that name has come.
func (r *Runtime[S]) openBook(ctx context.Context, name string) (*book, error) {
	ctx, cancel := context.WithTimeout(ctx, bookWait)
	defer cancel()
	m, err := r.lastRecord(ctx, name)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return newBook(name), nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the progress of %s: %w", name, err)
	}
	var old record
	if err := json.Unmarshal(m.Data, &old); err != nil {
		return nil, fmt.Errorf("read the progress of %s: %w", name, err)
	}
	same, err := r.stillHas(ctx, old)
	if err != nil {
		return nil, fmt.Errorf("compare the progress of %s with the events: %w", name, err)
	}
	b := continued(name, old)
	if !same {
		r.log.Warn().Uint64("event", old.Last).Msg("EVENTS is not what it was; going on by time")
		b = begunAgain(name, old)
	}
	b.stored = m.Sequence
	return b, nil
}

func (r *Runtime[S]) lastRecord(ctx context.Context, name string) (*jetstream.RawStreamMsg, error) {
	leases, err := r.link.JS.Stream(ctx, contract.StreamLeases)
	if err != nil {
		return nil, err
	}
	return leases.GetLastMsgForSubject(ctx, contract.ProgressSubject(name))
}

// stillHas reports whether the record's numbers mean in EVENTS what they meant when it was written.
func (r *Runtime[S]) stillHas(ctx context.Context, old record) (bool, error) {
	if old.Last == 0 {
		return true, nil
	}
	events, err := r.link.JS.Stream(ctx, contract.StreamEvents)
	if err != nil {
		return false, err
	}
	m, err := events.GetMsg(ctx, old.Last)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return old.Last < events.CachedInfo().State.FirstSeq, nil // it was too old to be kept
	}
	return err == nil && m.Time.Equal(old.At), err
}

const (
	// bookWait bounds the reading of a book, bookWriteWait each writing.
	bookWait      = 5 * time.Second
	bookWriteWait = time.Second
	// bookEvery is the time between two writings: what was done since the last one is done again after
	// a crash, which the message ids and the state make harmless.
	bookEvery = 50 * time.Millisecond
)

// keepBook writes the book for as long as its reader works.
func (r *Runtime[S]) keepBook(ctx context.Context, b *book) {
	t := time.NewTicker(bookEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			r.writeBook(ctx, b)
		case <-ctx.Done():
			return
		}
	}
}

// closeBook writes the book for the last time.
func (r *Runtime[S]) closeBook(ctx context.Context, b *book) {
	r.writeBook(context.WithoutCancel(ctx), b)
}

// writeBook writes what is new. It goes only behind what this reader has written or found: the words of
// one that was cut off must not overwrite those of its successor, however late they arrive.
func (r *Runtime[S]) writeBook(ctx context.Context, b *book) {
	now, changed := b.news()
	if !changed {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, bookWriteWait)
	defer cancel()
	body, err := json.Marshal(now)
	var ack *jetstream.PubAck
	if err == nil {
		ack, err = r.link.JS.Publish(ctx, contract.ProgressSubject(b.name), body,
			jetstream.WithExpectLastSequencePerSubject(b.stored), jetstream.WithRetryAttempts(0))
	}
	switch {
	case err == nil:
		b.stored = ack.Sequence
		return
	case broker.SaidBefore(err): // by us, if the answer to the last writing was lost
		if m, err := r.lastRecord(ctx, b.name); err == nil {
			b.stored = m.Sequence
		}
	}
	b.keepNews()
	r.log.Debug().Err(err).Str("reader", b.name).Msg("cannot write the progress down yet")
}
