package snapshot

import (
	"time"

	"github.com/dagyo/dagyo/pkg/broker"
)

const (
	// A snapshot is written after this many events or bytes of them, or after this time if there were any events. If the
	// limits of EVENTS are small, a part of them applies instead: EVENTS can only be trimmed up to a snapshot.
	mostEvents  = 10_000
	mostBytes   = 32 << 20
	mostTime    = 5 * time.Minute
	partOfBound = 4
	// secondAfter is how soon the second snapshot after many events may be written.
	secondAfter = 10 * time.Second
	// share limits the cost of writing: the pause after a snapshot is this many times its duration, unless EVENTS
	// would then exceed its limits. If it exceeds them already, the pause is secondAfter at most.
	share = 100
)

// A pace decides when the leader of a service writes a snapshot.
type pace struct {
	mostEvents   uint64
	mostBytes    int64
	lateEvents   uint64 // EVENTS exceeds its limits if no snapshot is written after this many
	lateBytes    int64
	limit        uint64    // EVENTS may have so many events
	seq          uint64    // the last event in the newest snapshot
	first, older uint64    // the first events that the newest snapshot and the one before need
	bytes        int64     // the bytes folded when the newest was written
	at           time.Time // when the newest was written
	ended        time.Time // when the last try ended
	earliest     time.Time // the end of the pause after it
}

// newPace returns the pace of a leader that started from a snapshot, when these are stored, newest first.
func newPace(c broker.Config, from Description, stored []Description, bytes int64, now time.Time) *pace {
	older := from.First()
	if before := Remaining(stored, from.Seq); len(before) > 1 {
		older = before[1].First()
	}
	return &pace{
		mostEvents: uint64(min(mostEvents, c.EventsMaxCount/partOfBound)),
		mostBytes:  min(mostBytes, c.EventsMaxBytes/partOfBound),
		lateEvents: uint64(c.EventsMaxCount / 2), lateBytes: c.EventsMaxBytes / 2, limit: uint64(c.EventsMaxCount),
		seq: from.Seq, first: from.First(), older: older, bytes: bytes, at: now,
	}
}

// due reports whether to write a snapshot of a state that has folded events up to seq, and so many bytes in total. The
// older of two snapshots limits how far EVENTS is trimmed: so after many events the second one is written soon, even if
// few events follow. If none follow, it is lacking.
func (p *pace) due(seq uint64, bytes int64, now time.Time) bool {
	events, more, since := seq-p.seq, bytes-p.bytes, now.Sub(p.at)
	if events >= p.lateEvents || more >= p.lateBytes {
		return true
	}
	return events > 0 && p.rested(seq, now) &&
		(events >= p.mostEvents || more >= p.mostBytes || since >= mostTime ||
			since >= secondAfter && seq+1-p.older >= p.mostEvents)
}

// lacking reports whether the second snapshot after many events is due but for an event: it would be the same as the
// first.
func (p *pace) lacking(seq uint64, now time.Time) bool {
	return seq == p.seq && p.rested(seq, now) && now.Sub(p.at) >= secondAfter && p.first-p.older >= p.mostEvents
}

// rested reports whether the pause after the last try is over. It is short if EVENTS exceeds its limits because the older
// snapshot needs too many events.
func (p *pace) rested(seq uint64, now time.Time) bool {
	holdsUp := seq+1-p.older > p.limit
	return !now.Before(p.earliest) || holdsUp && now.Sub(p.ended) >= secondAfter
}

// wrote records that a snapshot was written.
func (p *pace) wrote(d Description, bytes int64, now time.Time) {
	p.older, p.first, p.seq, p.bytes, p.at = p.first, d.First(), d.Seq, bytes, now
}

// tried records how long the last try took.
func (p *pace) tried(began, ended time.Time) {
	p.ended, p.earliest = ended, ended.Add(share*ended.Sub(began))
}
