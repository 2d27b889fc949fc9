package service

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/dagyo/dagyo/pkg/contract"
	"github.com/dagyo/dagyo/pkg/event"
	"github.com/dagyo/dagyo/pkg/problem"
)

// A delivery is one message of EVENTS. It is decoded once for all who want it, and none of them changes it.
type delivery struct {
	seq     uint64
	at      time.Time // when the broker stored it
	subject string
	data    []byte
	event   contract.Event
	// problems say why the message is no event.
	problems problem.List
}

// decode decodes a message, with the data that it may refer to. That is tried until it can be had, or
// there is none: nothing else may be folded before.
func (r *Runtime[S]) decode(
	ctx context.Context, m jetstream.Msg, meta *jetstream.MsgMetadata,
) (*delivery, error) {
	d := &delivery{seq: meta.Sequence.Stream, at: meta.Timestamp, subject: m.Subject()}
	var unreadable *event.Unreadable
	for {
		var err error
		if d.data, err = r.link.Resolve(ctx, m.Headers(), m.Data()); err == nil {
			d.decode(m)
			return d, nil
		}
		if errors.As(err, &unreadable) {
			d.decode(m) // it may say whom to answer
			d.problems = unreadable.Problems
			return d, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		r.log.Warn().Err(err).Str("event", d.subject).Msg("cannot get an event's data; trying again")
		pause(ctx, readPause)
	}
}

func (d *delivery) decode(m jetstream.Msg) {
	var err error
	d.event, err = event.Decode(d.subject, m.Headers(), d.data)
	var unreadable *event.Unreadable
	switch {
	case errors.As(err, &unreadable):
		d.problems = unreadable.Problems
	case err != nil:
		d.problems = problem.List{{Code: problem.InternalFailure, Message: err.Error()}}
	}
	d.event.Seq = d.seq
	if d.event.Time.IsZero() {
		d.event.Time = d.at
	}
}

func (d *delivery) kind() contract.Type { return contract.TypeOf(d.subject) }

// Bounds of what the tail keeps for its slowest reader: messages, and octets of them as they were sent.
const (
	tailLength = 4096
	tailBytes  = 8 << 20
)

// A tail is the end of EVENTS, from the slowest of its readers on. A reader that falls too far behind
// goes back to the stream until it has caught up.
type tail struct {
	mu   sync.Mutex
	kept []*delivery
	size int
	// begin is where what is kept begins, next what will be folded next.
	begin, next uint64
	readers     map[*place]struct{}
}

// A place is how far one reader has come. Only its reader moves it, through the tail.
type place struct {
	types map[contract.Type]bool
	next  uint64
}

func newTail() tail { return tail{begin: 1, next: 1, readers: make(map[*place]struct{})} }

// add notes that a delivery has been folded, and keeps it if a reader may want it.
func (t *tail) add(d *delivery, keep bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next = d.seq + 1
	if keep {
		t.kept = append(t.kept, d)
		t.size += len(d.data)
	}
	t.trim()
}

// join adds a reader that has read everything before next.
func (t *tail) join(types []contract.Type, next uint64) *place {
	p := &place{types: setOf(types), next: next}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.readers[p] = struct{}{}
	return p
}

func (t *tail) leave(p *place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.readers, p)
	t.trim()
}

// take returns up to limit deliveries that the reader wants and moves it behind them. Where it is behind
// what is kept it returns none, and where that begins.
func (t *tail) take(p *place, limit int) (batch []*delivery, begin uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p.next < t.begin {
		return nil, t.begin
	}
	i, _ := slices.BinarySearchFunc(t.kept, p.next, bySeq)
	for ; i < len(t.kept) && len(batch) < limit; i++ {
		if d := t.kept[i]; p.types[d.kind()] {
			batch = append(batch, d)
		}
	}
	p.next = max(p.next, t.next)
	if i < len(t.kept) {
		p.next = t.kept[i].seq
	}
	t.trim()
	return batch, t.begin
}

// move puts a reader where it has come by itself.
func (t *tail) move(p *place, next uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p.next = next
}

// trim drops what every reader has read, and what is too much.
func (t *tail) trim() {
	from := t.next
	for p := range t.readers {
		from = min(from, p.next)
	}
	n, _ := slices.BinarySearchFunc(t.kept, from, bySeq)
	t.begin = max(t.begin, from)
	for _, d := range t.kept[:n] {
		t.size -= len(d.data)
	}
	for ; len(t.kept)-n > tailLength || t.size > tailBytes; n++ {
		t.begin = t.kept[n].seq + 1
		t.size -= len(t.kept[n].data)
	}
	clear(t.kept[:n])
	t.kept = t.kept[n:] // appending moves the rest when it has to
}

func bySeq(d *delivery, seq uint64) int { return cmp.Compare(d.seq, seq) }

func setOf(types []contract.Type) map[contract.Type]bool {
	set := make(map[contract.Type]bool, len(types))
	for _, t := range types {
		set[t] = true
	}
	return set
}
