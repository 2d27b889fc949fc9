package snapshot

import (
	"time"

	"github.com/dagyo/dagyo/pkg/broker"
)

const (
	// A snapshot is written after this many events or bytes of them, or after this time if there were any. Where
	// EVENTS is to be small, a part of its bounds takes the place of these: nothing can be cut off before.
	mostEvents  = 10_000
	mostBytes   = 32 << 20
	mostTime    = 5 * time.Minute
	partOfBound = 4
	// secondAfter is how soon the second snapshot after many events may be written.
	secondAfter = 10 * time.Second
	// share bounds what writing takes: the pause behind a snapshot is so many times its duration, unless EVENTS
	// cannot be kept within its bounds that way.
	share = 100
)

// A pace says when the leader of a service writes a snapshot.
type pace struct {
	mostEvents   uint64
	mostBytes    int64
	lateEvents   uint64 // EVENTS outgrows its bounds if no snapshot is written after so many
	lateBytes    int64
	seq          uint64 // the last event in the newest snapshot
	first, older uint64 // the first events that the newest snapshot and the one before need
	bytes        int64  // how much was folded when the newest was written
	at, earliest time.Time
}

// newPace returns the pace of a leader that started from a snapshot.
func newPace(c broker.Config, from Description, bytes int64, now time.Time) *pace {
	return &pace{
		mostEvents: uint64(min(mostEvents, c.EventsMaxCount/partOfBound)),
		mostBytes:  min(mostBytes, c.EventsMaxBytes/partOfBound),
		lateEvents: uint64(c.EventsMaxCount / 2), lateBytes: c.EventsMaxBytes / 2,
		seq: from.Seq, first: from.First(), older: from.First(), bytes: bytes, at: now,
	}
}

// due reports whether a snapshot is to be written of a state that has folded up to seq, and so many bytes in all.
// EVENTS is cut by the older of two snapshots: after many events the second is written soon, even if little follows.
func (p *pace) due(seq uint64, bytes int64, now time.Time) bool {
	events, more, since := seq-p.seq, bytes-p.bytes, now.Sub(p.at)
	if events >= p.lateEvents || more >= p.lateBytes {
		return true
	}
	return events > 0 && !now.Before(p.earliest) &&
		(events >= p.mostEvents || more >= p.mostBytes || since >= mostTime ||
			since >= secondAfter && seq+1-p.older >= p.mostEvents)
}

// wrote notes that a snapshot was written.
func (p *pace) wrote(d Description, bytes int64, now time.Time) {
	p.older, p.first, p.seq, p.bytes, p.at = p.first, d.First(), d.Seq, bytes, now
}

// tried notes how long the last try took.
func (p *pace) tried(began, ended time.Time) {
	p.earliest = ended.Add(share * ended.Sub(began))
}
