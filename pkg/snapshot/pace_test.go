package snapshot

import (
	"testing"
	"time"

	"github.com/dagyo/dagyo/pkg/broker"
	"github.com/dagyo/dagyo/pkg/event"
)

func TestPace(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	fresh := func() *pace {
		return &pace{mostEvents: 100, mostBytes: 1000, lateEvents: 200, lateBytes: 2000, limit: 10_000, seq: 50, first: 51, older: 51, at: start}
	}
	written := func() *pace { // a snapshot of 120 events was written, which took a second
		p := fresh()
		p.wrote(Description{Place: event.Place{Seq: 170}}, 500, at(time.Minute))
		p.tried(at(time.Minute-time.Second), at(time.Minute))
		return p
	}
	held := func() *pace { // the snapshot before keeps more events than EVENTS may have, and writing takes long
		p := written()
		p.limit = 100
		p.tried(at(time.Minute-10*time.Second), at(time.Minute))
		return p
	}
	refused := func() *pace { // then the next one could not be stored
		p := held()
		p.tried(at(2*time.Minute-time.Second), at(2*time.Minute))
		return p
	}
	needy := func() *pace { // the snapshot before needs older events
		p := fresh()
		p.first = 1
		p.wrote(Description{Place: event.Place{Seq: 100}}, 10, at(time.Minute))
		return p
	}
	tests := map[string]struct {
		p     *pace
		seq   uint64
		bytes int64
		after time.Duration
		want  bool
	}{
		"nothing happened":     {fresh(), 50, 0, time.Hour, false},
		"little happened":      {fresh(), 60, 10, time.Minute, false},
		"few events, long ago": {fresh(), 60, 10, mostTime, true},
		"many events":          {fresh(), 150, 10, time.Second, true},
		"many bytes":           {fresh(), 60, 1000, time.Second, true},
		"many events, the previous snapshot is recent":     {written(), 280, 10, 2 * time.Minute, false},
		"so many events that EVENTS exceeds its limit":     {written(), 370, 510, 61 * time.Second, true},
		"such large events that EVENTS exceeds its limit":  {written(), 171, 2500, 61 * time.Second, true},
		"its pause is over":                                {written(), 280, 510, 161 * time.Second, true},
		"the second after many events":                     {written(), 171, 510, 161 * time.Second, true},
		"the previous one needs old events":                {needy(), 110, 20, time.Minute + secondAfter, true},
		"it needs them, but not for long":                  {needy(), 110, 20, time.Minute + secondAfter - 1, false},
		"the older one holds up EVENTS":                    {held(), 171, 510, time.Minute + secondAfter, true},
		"it holds it up, but not for long":                 {held(), 171, 510, time.Minute + secondAfter - 1, false},
		"it holds it up, but the last try has just failed": {refused(), 180, 510, 2*time.Minute + secondAfter - 1, false},
		"it holds it up, and a try has failed":             {refused(), 180, 510, 2*time.Minute + secondAfter, true},
		"it holds it up, and nothing happened":             {held(), 170, 500, time.Minute + secondAfter, false},
		"the second one needs an event":                    {written(), 170, 500, 161 * time.Second, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tt.p.due(tt.seq, tt.bytes, at(tt.after)); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// A new leader writes the second snapshot soon if the older one of its predecessor keeps many events.
func TestPaceOfANewLeader(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	snapshotAt := func(seq uint64) Description { return Description{Place: event.Place{Seq: seq}} }
	c := broker.DefaultConfig()
	c.EventsMaxCount, c.EventsMaxBytes = 1000, 1<<20
	for older, want := range map[uint64]bool{8000: true, 9450: false} {
		p := newPace(c, snapshotAt(9500), []Description{snapshotAt(9500), snapshotAt(older), snapshotAt(100)}, 0, now)
		if got := p.due(9510, 100, now.Add(secondAfter)); got != want {
			t.Errorf("older snapshot at %d: due is %v, want %v", older, got, want)
		}
	}
}

// If no events follow, the second snapshot needs one, so that the older one does not keep many events for ever.
func TestPaceWithoutEvents(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	p := &pace{mostEvents: 100, mostBytes: 1000, lateEvents: 200, lateBytes: 2000, limit: 10_000, seq: 50, first: 51, older: 51, at: start}
	p.wrote(Description{Place: event.Place{Seq: 170}, Needs: 20}, 0, start)
	p.wrote(Description{Place: event.Place{Seq: 400}}, 0, start) // the one before needs 20
	second := start.Add(secondAfter)
	if p.lacking(400, second.Add(-1)) || p.lacking(401, second) || !p.lacking(400, second) || p.due(400, 0, second) {
		t.Error("the second snapshot does not wait for an event")
	}
	if !p.due(401, 0, second) {
		t.Error("the second snapshot is not due after an event")
	}
	p.wrote(Description{Place: event.Place{Seq: 401}}, 0, second)
	if p.lacking(401, second.Add(time.Hour)) {
		t.Error("further snapshots wait for events")
	}
	p.wrote(Description{Place: event.Place{Seq: 600}, Needs: 402}, 0, second)
	p.wrote(Description{Place: event.Place{Seq: 700}, Needs: 402}, 0, second)
	if p.lacking(700, second.Add(time.Hour)) {
		t.Error("a snapshot that would release nothing waits for an event")
	}
	p.wrote(Description{Place: event.Place{Seq: 900}}, 0, second)
	p.tried(second, second.Add(time.Second))
	if p.lacking(900, second.Add(secondAfter)) || !p.lacking(900, second.Add(share*time.Second+time.Second)) {
		t.Error("the pause after a snapshot does not apply")
	}
	if p.limit = 400; !p.lacking(900, second.Add(time.Second+secondAfter)) {
		t.Error("the pause after a snapshot applies although EVENTS exceeds its limits")
	}
}
